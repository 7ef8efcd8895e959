"""The run folder: its layout, its manifest and journal, whole files or none, and reading it."""

from __future__ import annotations

import csv
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import RunError
from lrpdyn.files import cannot_write
from lrpdyn.files import save_array as save_array
from lrpdyn.files import save_json as save_json
from lrpdyn.files import save_table as save_table
from lrpdyn.files import whole_file as whole_file

SCHEMA = 1
MANIFEST, JOURNAL = "manifest.json", "journal.jsonl"
_INTEGERS = {"step", "sample", "target", "argmax", "from_step", "to_step"}
_TRUTHS = {"argmax_changed", "step_gap", "from_step_zero"}
#: The maps over all steps, each a .npy file.
MAPS = ("dynamics", "net_change", "mean_relevance", "directness", "relative_dynamics",
        "pixel_entropy")  # fmt: skip
#: What a finished run holds, beside its manifest, journal and relevance.
RESULTS = ("observations.npy", *(f"{name}.npy" for name in MAPS), "metrics.csv", "transitions.csv",
           "outliers.json", "outliers.csv", "figures/dynamics.png")  # fmt: skip


def relevance_path(run: Path, step: int) -> Path:
    """Return where the relevance of `step` is kept."""
    return run / "relevance" / f"step_{step:012d}.npy"


def append_journal(run: Path, record: Mapping[str, Any]) -> None:
    """Add one checksummed line and wait until it is on the disk."""
    text = json.dumps(record, separators=(",", ":"), allow_nan=False)
    line = f"{zlib.crc32(text.encode()):08x} {text}\n"
    try:
        with (run / JOURNAL).open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(run / JOURNAL, error) from error


def read_journal(run: Path) -> list[dict[str, Any]]:
    """Return the records of the journal, and cut off a torn last line.

    Raises
    ------
    RunError
        A line before the last is damaged.
    """
    path = run / JOURNAL
    if not path.exists():
        return []
    records: list[dict[str, Any]] = []
    whole = 0
    content = path.read_bytes()
    for line in content.splitlines(keepends=True):
        record = _parsed(line)
        if record is None:
            break
        records.append(record)
        whole += len(line)
    if whole < len(content):
        if b"\n" in content[whole:].rstrip(b"\n"):
            raise RunError(
                f"{path}: line {len(records) + 1} is damaged; start again with --overwrite or -o"
            )
        with path.open("r+b") as file:
            file.truncate(whole)
    return records


def _parsed(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or f"{zlib.crc32(text):08x}".encode() != checksum:
        return None
    record: dict[str, Any] = json.loads(text)
    return record


def read_manifest(run: Path) -> dict[str, Any]:
    """Return the manifest of a run folder.

    Raises
    ------
    RunError
        The folder holds no run, or its manifest is damaged or of a newer schema.
    """
    path = run / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(
            f"{run}: holds no run of lrpdyn; make one with lrpdyn compute -o {run}"
        ) from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}); compute the run again") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else None
        raise RunError(
            f"{path}: schema {found}, this version reads {SCHEMA}; install a newer lrpdyn"
        )
    return manifest


def clear_run(run: Path) -> None:
    """Delete the files that lrpdyn wrote into `run`, and nothing else."""
    written = [run / JOURNAL, *(run / name for name in RESULTS)]
    written += sorted((run / "relevance").glob(f"step_{'[0-9]' * 12}.npy"))
    written += sorted((run / "figures").glob("filmstrip_sample*.png"))
    written += [run / "figures" / f"{kind}.png" for kind in ("distribution", "trajectory")]
    # The manifest goes last: until then the folder is known to be a run.
    for path in (*written, *leftovers(run), run / MANIFEST):
        path.unlink(missing_ok=True)


def leftovers(run: Path) -> list[Path]:
    """Return the temporary files that a killed run left behind."""
    folders = (run, run / "relevance", run / "figures")
    return [path for folder in folders for path in folder.glob(".*.tmp")]


class Table(np.ndarray):
    """A structured array: ``table["change"]`` is a column."""

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame; needs pandas."""
        import pandas

        return pandas.DataFrame({name: np.asarray(self[name]) for name in self.dtype.names or ()})


def _read_table(path: Path) -> Table:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        kinds = [
            (name, "i8" if name in _INTEGERS else "?" if name in _TRUTHS else "f8")
            for name in header
        ]
        table = np.empty(len(rows), dtype=kinds)
        for position, (name, kind) in enumerate(kinds):
            column = [row[position] for row in rows]
            if kind == "f8":
                table[name] = [float(cell) if cell else np.nan for cell in column]
            else:
                table[name] = [int(cell) if cell else -1 for cell in column]
    except (OSError, ValueError, IndexError) as error:
        raise RunError(f"{path}: cannot be read ({error}); compute the run again") from error
    return table.view(Table)


def _read_array(path: Path, *, mapped: bool = False) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RunError(f"{path}: cannot be read ({error}); compute the run again") from error
    return array


class Relevance(Mapping[int, NDArray[np.float32]]):
    """The relevance maps of a run by step; a map is read when it is asked for."""

    def __init__(self, run: Path, steps: Sequence[int]) -> None:
        self._run, self._steps = run, tuple(steps)

    def __getitem__(self, step: int) -> NDArray[np.float32]:
        if step not in self._steps:
            raise KeyError(step)
        return _read_array(relevance_path(self._run, step), mapped=True)

    def __iter__(self) -> Iterator[int]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)


@dataclass(frozen=True)
class Run:
    """A run folder, read lazily.

    Attributes
    ----------
    path
        The folder.
    manifest
        What was asked and what has been done.
    """

    path: Path
    manifest: dict[str, Any]

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps whose relevance is there and finite, in order."""
        return tuple(c["step"] for c in self.manifest["checkpoints"] if c["status"] == "done")

    @property
    def relevance(self) -> Relevance:
        """Raw relevance (N, C, H, W) or (N, F) by step."""
        return Relevance(self.path, self.steps)

    @cached_property
    def observations(self) -> NDArray[np.float32]:
        """The observations as the network saw them."""
        return _read_array(self.path / "observations.npy")

    @cached_property
    def dynamics(self) -> NDArray[np.float32]:
        """Sum over transitions of |R_i - R_{i+1}|."""
        return _read_array(self.path / "dynamics.npy")

    @cached_property
    def net_change(self) -> NDArray[np.float32]:
        """|R_N - R_1|."""
        return _read_array(self.path / "net_change.npy")

    @cached_property
    def mean_relevance(self) -> NDArray[np.float32]:
        """Mean over steps of |R_i|."""
        return _read_array(self.path / "mean_relevance.npy")

    @cached_property
    def directness(self) -> NDArray[np.float32]:
        """Net change over Dynamics; 0 where nothing changed."""
        return _read_array(self.path / "directness.npy")

    @cached_property
    def relative_dynamics(self) -> NDArray[np.float32]:
        """Dynamics over sum |R_i|, of channel-summed pixels (N, H, W) or (N, F)."""
        return _read_array(self.path / "relative_dynamics.npy")

    @cached_property
    def pixel_entropy(self) -> NDArray[np.float32]:
        """Entropy of each pixel over the steps, (N, H, W) or (N, F); NaN without relevance."""
        return _read_array(self.path / "pixel_entropy.npy")

    @cached_property
    def metrics(self) -> Table:
        """A row for each step and sample."""
        return _read_table(self.path / "metrics.csv")

    @cached_property
    def transitions(self) -> Table:
        """A row for each successive pair of steps and sample."""
        return _read_table(self.path / "transitions.csv")

    @cached_property
    def outliers(self) -> dict[str, Any]:
        """The outlier report."""
        from lrpdyn.outliers.render import read_report

        return read_report(self.path)

    @property
    def question(self) -> str:
        """What was asked, in words, as figures and reports say it."""
        target, contrast = self.manifest["target"]["policy"], self.manifest["contrast"]
        asked = {
            "argmax": "unit preferred at each step",
            "modal": "unit preferred on average",
            "final": "unit preferred at the last step",
        }.get(target, f"target {target}")
        against = {"none": "", "mean": ", minus the mean", "runner-up": ", minus the next best"}
        return f"head {self.manifest['head']}: {asked}{against[contrast]}"


def open_run(path: str | Path = "lrpdyn-run") -> Run:
    """Open a run folder for reading.

    Raises
    ------
    RunError
        The folder holds no run, or one that is not finished.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    if any(entry["status"] == "pending" for entry in manifest["checkpoints"]):
        raise RunError(f"{folder}: the run is not finished; go on with the command that began it")
    return Run(folder, manifest)
