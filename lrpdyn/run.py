"""The run folder: its layout, its manifest and journal, whole files or none, and reading it."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.array_files import map_npy, read_npy
from lrpdyn.by_step import columns_by_step
from lrpdyn.errors import RunError
from lrpdyn.files import cannot_write as cannot_write
from lrpdyn.files import save_json as save_json
from lrpdyn.files import save_pieces as save_pieces
from lrpdyn.files import save_table as save_table
from lrpdyn.files import save_together as save_together
from lrpdyn.files import sha256_of
from lrpdyn.files import sync_folder as sync_folder
from lrpdyn.files import whole_file as whole_file
from lrpdyn.journal import JOURNAL as JOURNAL
from lrpdyn.journal import append_journal as append_journal
from lrpdyn.journal import placed_records as placed_records
from lrpdyn.journal import read_journal as read_journal
from lrpdyn.journal import record_at as record_at
from lrpdyn.manifest import MANIFEST as MANIFEST
from lrpdyn.manifest import SCHEMA as SCHEMA
from lrpdyn.manifest import load_manifest as load_manifest
from lrpdyn.manifest import read_manifest as read_manifest
from lrpdyn.manifest import save_manifest as save_manifest
from lrpdyn.stored import LARGEST_IN_MEMORY
from lrpdyn.table_reading import Table as Table
from lrpdyn.table_reading import read_table

if TYPE_CHECKING:
    from xarray import Dataset

#: Where maps lie that are not kept, until the sums have them.
WORKING = ".maps"
#: The columns that the tables begin with, whatever the version that wrote them.
METRICS = ("step", "sample", "target", "score", "argmax", "relevance_sum", "relevance_l1",
           "entropy", "distance_from_first")  # fmt: skip
TRANSITIONS = ("from_step", "to_step", "sample", "change", "score_change", "scale_share",
               "argmax_changed")  # fmt: skip
#: The page that `lrpdyn report` writes.
REPORT = "report.html"
#: The maps over all steps, each a .npy file.
MAPS = ("dynamics", "net_change", "mean_relevance", "directness", "relative_dynamics",
        "pixel_entropy")  # fmt: skip
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


def nearest_folder(run: Path) -> Path | None:
    """Return the folder nearest to a run that is there and can be written to."""
    there = (folder for folder in (run, *run.absolute().parents) if folder.is_dir())
    return next((folder for folder in there if os.access(folder, os.W_OK)), None)


def relevance_path(run: Path, step: int) -> Path:
    """Return where the relevance of `step` is kept."""
    return run / "relevance" / f"step_{step:012d}.npy"


def working_path(run: Path, step: int) -> Path:
    """Return where maps of `step` lie that are not kept, or that belong to another shard."""
    return run / WORKING / relevance_path(run, step).name


def of_pixels(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of maps of `shape`, (N, C, H, W) or (N, F), whose channels are summed."""
    return (shape[0], *shape[2:]) if len(shape) == 4 else shape


def check_maps(path: Path, written: str | None, step: int) -> None:
    """Hold the maps of a step against their hash; None where an earlier version knew none.

    Raises
    ------
    RunError
        The file cannot be read, or holds other bytes than those that were written.
    """
    try:
        if written in (None, sha256_of(path)):
            return
        why = "its bytes are not those that were written"
    except OSError as error:
        why = error.strerror or str(error)
    raise RunError(
        f"{path}: cannot be used ({why}); the same command with --recompute {step} makes it again"
    )


def clear_run(run: Path) -> None:
    """Delete the files that lrpdyn wrote into `run`, and nothing else."""
    written = [run / JOURNAL, *(run / name for name in RESULTS)]
    written += sorted((run / "relevance").glob(f"step_{'[0-9]' * 12}.npy"))
    written += sorted((run / WORKING).glob(f"step_{'[0-9]' * 12}.npy"))
    written += [run / name for name in shard_results(run)]
    written += [path for path in sorted((run / "figures").glob("*")) if FIGURE.fullmatch(path.name)]
    written += [run / REPORT]
    # The manifest goes last: until then the folder is known to be a run.
    for path in (*written, *leftovers(run), run / MANIFEST):
        delete(path)


def shard_results(run: Path) -> list[str]:
    """Return the names of the files of a shard that are made from the relevance."""
    found = [p for kind in ("*.npy", "*.npz", "*.json") for p in (run / "shard").glob(kind)]
    return ["observations.npy", *sorted(str(path.relative_to(run)) for path in found)]


def delete(path: Path) -> None:
    """Delete a file of a run, where it is there."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def leftovers(run: Path) -> list[Path]:
    """Return the temporary files that a killed run left behind."""
    folders = (run, run / "relevance", run / "figures", run / "shard", run / WORKING)
    return [path for folder in folders for path in folder.glob(".*.tmp")]


def damaged(run: Path, name: str, why: object) -> RunError:
    """Return the error that a file of a run cannot be used."""
    from lrpdyn.lock import read_holder  # it takes as long to load as all this

    holder = read_holder(run)
    if holder is not None and not holder.is_gone:
        return RunError(
            f"{run / name}: cannot be read: {why}; {holder}, writes the run right now: try again when it "
            "has"
        )
    return RunError(
        f"{run / name}: cannot be read: {why}; the command that made the run makes it anew (lrpdyn "
        f"verify {run} looks at every file)"
    )


def _expected(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array of floats of `shape`; raises ValueError where it is another."""
    if array.shape != shape or array.dtype.kind != "f":
        raise ValueError(f"{array.dtype} of shape {array.shape}, expected floats of {shape}")
    return array


class Relevance(Mapping[int, NDArray[np.float32]]):
    """The relevance maps of a run by step; a map is read when it is asked for.

    Raises
    ------
    RunError
        The run keeps none (``--keep none``), or the file is damaged.
    """

    def __init__(self, run: Path, steps: Sequence[int], keep: str, shape: tuple[int, ...]) -> None:
        self._run, self._steps, self._keep, self._shape = run, tuple(steps), keep, shape

    def __getitem__(self, step: int) -> NDArray[np.float32]:
        if step not in self._steps:
            raise KeyError(step)
        if self._keep == "none":
            raise RunError(
                f"{self._run}: keeps no relevance of its steps (--keep none); compute it with --keep "
                "pixels or --keep relevance into another folder (-o)"
            )
        path = relevance_path(self._run, step)
        try:
            return _expected(map_npy(path), self._shape)
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path}: cannot be read: {error}; the command that made the run, with --recompute "
                f"{step}, makes it anew"
            ) from error

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
    def shape(self) -> tuple[int, ...]:
        """Shape of the observations, (N, C, H, W) or (N, F)."""
        return tuple(self.manifest["observations"]["shape"])

    @property
    def keep(self) -> str:
        """What is kept of each step's maps: relevance, pixels or none."""
        kept: str = self.manifest.get("stored", {}).get("keep", "relevance")
        return kept

    @property
    def relevance_shape(self) -> tuple[int, ...]:
        """Shape of what is kept of each step."""
        return of_pixels(self.shape) if self.keep == "pixels" else self.shape

    @property
    def relevance(self) -> Relevance:
        """Raw relevance by step, (N, C, H, W) or (N, F); (N, H, W) with ``--keep pixels``."""
        return Relevance(self.path, self.steps, self.keep, self.relevance_shape)

    def mapped(self, name: str) -> NDArray[Any]:
        """Return one of the run's arrays, such as "dynamics", of which only what is used is read.

        A small one is read whole, and held against its hash.
        """
        shape = of_pixels(self.shape) if name in PIXEL_MAPS else self.shape
        if 4 * prod(shape) <= LARGEST_IN_MEMORY:
            found: NDArray[Any] = getattr(self, name)
            return found
        try:
            return _expected(map_npy(self.path / f"{name}.npy"), shape)
        except (OSError, ValueError) as error:
            raise damaged(self.path, f"{name}.npy", error) from error

    def _content(self, name: str) -> bytes:
        """Return the bytes of a file as `compute` wrote them."""
        try:
            content = (self.path / name).read_bytes()
        except OSError as error:
            raise damaged(self.path, name, error.strerror or error) from error
        written = self.manifest.get("files", {}).get(name)
        if written is not None and hashlib.sha256(content).hexdigest() != written:
            raise damaged(self.path, name, "its bytes are not those that were written")
        return content

    def _array(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        content = self._content(f"{name}.npy")
        try:
            return _expected(read_npy(io.BytesIO(content), len(content)), shape)
        except ValueError as error:
            raise damaged(self.path, f"{name}.npy", error) from error

    @property
    def by_step(self) -> bool:
        """Whether the tables have a row for each step, not for each sample of it."""
        return bool(self.manifest.get("tables") == "steps")

    def need_samples(self, what: str) -> None:
        """Refuse what needs tables with a row for each sample.

        Raises
        ------
        RunError
            They have a row for each step.
        """
        if self.by_step:
            raise RunError(
                f"{what}: needs a row for each sample, and the tables of {self.path} have one for each "
                "step; the command that made the run, with --tables samples, writes them so"
            )

    def _table(self, name: str, columns: Sequence[str]) -> Table:
        columns = columns_by_step(columns) if self.by_step else columns
        try:
            return read_table(self._content(name), columns)
        except ValueError as error:
            raise damaged(self.path, name, error) from error

    @cached_property
    def observations(self) -> NDArray[np.float32]:
        """The observations as the network saw them."""
        return self._array("observations", self.shape)

    @cached_property
    def dynamics(self) -> NDArray[np.float32]:
        """Sum over transitions of |R_i - R_{i+1}|."""
        return self._array("dynamics", self.shape)

    @cached_property
    def net_change(self) -> NDArray[np.float32]:
        """|R_N - R_1|."""
        return self._array("net_change", self.shape)

    @cached_property
    def mean_relevance(self) -> NDArray[np.float32]:
        """Mean over steps of |R_i|."""
        return self._array("mean_relevance", self.shape)

    @cached_property
    def directness(self) -> NDArray[np.float32]:
        """Net change over Dynamics; 0 where nothing changed."""
        return self._array("directness", self.shape)

    @cached_property
    def relative_dynamics(self) -> NDArray[np.float32]:
        """Dynamics over sum |R_i|, of channel-summed pixels (N, H, W) or (N, F)."""
        return self._array("relative_dynamics", of_pixels(self.shape))

    @cached_property
    def pixel_entropy(self) -> NDArray[np.float32]:
        """Entropy of each pixel over the steps, (N, H, W) or (N, F); NaN without relevance."""
        return self._array("pixel_entropy", of_pixels(self.shape))

    @cached_property
    def metrics(self) -> Table:
        """A row for each step and sample; with ``--tables steps`` for each step.

        Its columns are then medians, least and largest values over samples, as ``score_median``.
        """
        return self._table("metrics.csv", METRICS)

    @cached_property
    def transitions(self) -> Table:
        """A row for each successive pair of steps and sample; with ``--tables steps`` for each pair."""
        return self._table("transitions.csv", TRANSITIONS)

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
        are beside it; by step and by transition alone with ``--tables steps``.
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
