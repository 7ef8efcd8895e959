"""The run folder: its layout, its manifest and journal, whole files or none, and reading it."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lrpdyn.errors import RunError

if TYPE_CHECKING:
    from xarray import Dataset

SCHEMA = 1
MANIFEST, JOURNAL = "manifest.json", "journal.jsonl"
#: Where maps lie that are not kept, until the sums have them.
WORKING = ".maps"
_INTEGERS = {"step", "sample", "target", "argmax", "from_step", "to_step"}
_TRUTHS = {"argmax_changed", "step_gap", "from_step_zero"}
#: The page that `lrpdyn report` writes.
REPORT = "report.html"
#: The maps over all steps, each a .npy file.
MAPS = ("dynamics", "net_change", "mean_relevance", "directness", "relative_dynamics",
        "pixel_entropy")  # fmt: skip
#: Down to here JSON is laid out in lines.
_DEEPEST = 3
#: Those of channel-summed pixels.
PIXEL_MAPS = ("relative_dynamics", "pixel_entropy")
#: What a finished run holds, beside its manifest, journal and relevance.
RESULTS = ("observations.npy", *(f"{name}.npy" for name in MAPS), "metrics.csv", "transitions.csv",
           "outliers.json", "outliers.csv", "figures/dynamics.png")  # fmt: skip
#: What a finished shard of a run holds instead.
SHARD_RESULTS = ("observations.npy", "shard/shard.json")

#: The names of what `lrpdyn plot` writes, by itself, into the folder of figures.
FIGURE = re.compile(
    r"(dynamics|filmstrip|distribution|trajectory|raster|channels|comparison|animation)"
    r"(_sample\d+(-\d+)*|_samples\d+to\d+)?\.(png|svg|pdf|gif|webp|apng)"
)


@contextlib.contextmanager
def whole_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file beside `path` that takes its name once it is written, flushed and closed.

    Raises
    ------
    RunError
        The folder cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=".tmp", dir=path.parent
        )
        options = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
        with os.fdopen(descriptor, mode, **options) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp gives 0600; a run may be shared
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written: {error.strerror or error}; choose another folder with -o"
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write `array` as .npy, whole or not at all."""
    with whole_file(path, "wb") as file:
        np.save(file, array, allow_pickle=False)


def save_pieces(
    path: Path, shape: tuple[int, ...], dtype: DTypeLike, parts: Iterable[NDArray[Any]]
) -> None:
    """Write an array of `shape` as .npy that comes in parts of some samples each, in order."""
    kind = np.dtype(dtype)
    header = {
        "descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape,
    }  # fmt: skip
    with whole_file(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype=kind).data)


def nearest_folder(run: Path) -> Path | None:
    """Return the folder nearest to a run that is there and can be written to."""
    there = (folder for folder in (run, *run.absolute().parents) if folder.is_dir())
    return next((folder for folder in there if os.access(folder, os.W_OK)), None)


def save_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, in which NaN is not allowed."""
    with whole_file(path) as file:
        file.write(json_text(value) + "\n")


def json_text(value: Any) -> str:
    """Return `value` as JSON: a line for every entry of its mappings and lists, two levels down.

    What is deeper is on the line of its entry: indented throughout, Python's own encoder takes ten
    times as long.
    """
    return _laid_out(value, 0)


def _laid_out(value: Any, depth: int) -> str:
    space, end = " " * (depth + 1), " " * depth
    if depth < _DEEPEST and isinstance(value, Mapping) and value:
        entries = [
            f"{space}{json.dumps(str(name))}: {_laid_out(entry, depth + 1)}"
            for name, entry in value.items()
        ]
        return "{\n" + ",\n".join(entries) + f"\n{end}}}"
    if depth < _DEEPEST and isinstance(value, list) and value and isinstance(value[0], dict):
        lines = [f"{space}{json.dumps(entry, allow_nan=False)}" for entry in value]
        return "[\n" + ",\n".join(lines) + f"\n{end}]"
    return json.dumps(value, allow_nan=False)


def save_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV in which floats read back exactly and NaN is empty."""
    with whole_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool | np.bool_):
        return "1" if value else "0"
    return repr(float(value)) if isinstance(value, float | np.floating) else str(value)


def relevance_path(run: Path, step: int) -> Path:
    """Return where the relevance of `step` is kept."""
    return run / "relevance" / f"step_{step:012d}.npy"


def working_path(run: Path, step: int) -> Path:
    """Return where maps of `step` lie that are not kept, or that belong to another shard."""
    return run / WORKING / relevance_path(run, step).name


def append_journal(run: Path, *records: Mapping[str, Any]) -> None:
    """Add a checksummed line for each record, and wait until they are on the disk."""
    lines = []
    for record in records:
        text = json.dumps(record, separators=(",", ":"), allow_nan=False)
        lines.append(f"{zlib.crc32(text.encode()):08x} {text}\n")
    try:
        with (run / JOURNAL).open("a", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(f"{run / JOURNAL}: cannot be written: {error.strerror}") from error


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
    written += sorted((run / WORKING).glob(f"step_{'[0-9]' * 12}.npy"))
    written += [
        path for kind in ("*.npy", "*.npz", "*.json") for path in (run / "shard").glob(kind)
    ]
    written += [path for path in sorted((run / "figures").glob("*")) if FIGURE.fullmatch(path.name)]
    written += [run / REPORT]
    # The manifest goes last: until then the folder is known to be a run.
    for path in (*written, *leftovers(run), run / MANIFEST):
        path.unlink(missing_ok=True)


def leftovers(run: Path) -> list[Path]:
    """Return the temporary files that a killed run left behind."""
    folders = (run, run / "relevance", run / "figures", run / "shard", run / WORKING)
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
    """The relevance maps of a run by step; a map is read when it is asked for.

    Raises
    ------
    RunError
        The run keeps none (``--keep none``).
    """

    def __init__(self, run: Path, steps: Sequence[int], keep: str) -> None:
        self._run, self._steps, self._keep = run, tuple(steps), keep

    def __getitem__(self, step: int) -> NDArray[np.float32]:
        if step not in self._steps:
            raise KeyError(step)
        if self._keep == "none":
            raise RunError(
                f"{self._run}: keeps no relevance of its steps (--keep none); compute it with --keep "
                "pixels or --keep relevance into another folder (-o)"
            )
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
        """Raw relevance by step, (N, C, H, W) or (N, F); (N, H, W) with ``--keep pixels``."""
        return Relevance(self.path, self.steps, self.manifest.get("stored", {}).get("keep", ""))

    def mapped(self, name: str) -> NDArray[Any]:
        """Return one of the run's arrays, such as "dynamics", of which only what is used is read."""
        return _read_array(self.path / f"{name}.npy", mapped=True)

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

    def to_xarray(self) -> Dataset:
        """Return an `xarray.Dataset`; needs xarray.

        Its ``relevance`` has the dimensions (step, sample, channel, row, column), or (step, sample,
        feature), steps as a coordinate, and is read when it is asked for. The maps over all steps,
        the columns of `metrics` by (step, sample) and those of `transitions` by (transition, sample)
        are beside it.
        """
        from lrpdyn.exports.dataset import to_dataset

        return to_dataset(self)

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

    def _repr_html_(self) -> str:
        """Show the run in a notebook: the dynamics figure and the three strongest outliers."""
        from lrpdyn.figures.notebook import as_html

        return as_html(self)


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
