"""A run folder, each file of which is read when it is first used; knows no figure and no export."""

from __future__ import annotations

import hashlib
import io
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.columns import Of, names_of_every_version
from lrpdyn.dynamics.measures import of_pixels
from lrpdyn.dynamics.scratch import LARGEST_IN_MEMORY
from lrpdyn.errors import MissingStepError, RunError, UsageError
from lrpdyn.files.npy import map_npy, read_npy
from lrpdyn.files.plain import open_plain, read_plain
from lrpdyn.files.text import printable_data
from lrpdyn.run.layout import (
    FAITHFULNESS,
    FEATURES,
    LAYERS,
    OTHER_BYTES,
    PIXEL_MAPS,
    damaged,
    relevance_path,
    written_now,
)
from lrpdyn.run.manifest import read_manifest
from lrpdyn.run.question import question_in_words
from lrpdyn.run.stamps import is_as_written
from lrpdyn.run.tables import Table, columns_by_step, read_table


def _expected(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array of floats of `shape`; raises ValueError where it is another."""
    if array.shape != shape or array.dtype.kind != "f":
        raise ValueError(f"{array.dtype} of shape {array.shape}, expected floats of {shape}")
    return array


def _shown(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array in the shape that it is given in, with its times side by side in fewer axes."""
    if array.ndim > len(shape):
        array = np.moveaxis(array, 1, -2)
    return array.reshape(shape)


class Relevance(Mapping[int, NDArray[np.float32]]):
    """The relevance maps of a run by step; a map is read when it is used.

    ``relevance[800]`` is the map of a step, ``relevance[100:500]`` those of the steps from 100 to 500
    (both included), of which none is read yet.

    Parameters
    ----------
    shape, shown
        Shape of what is stored of a step, and the one that it is given in.

    Raises
    ------
    MissingStepError
        The run has no such step; it names the steps next to it.
    RunError
        The run keeps none (``--keep none``), or the file is not as it was written.
    """

    def __init__(
        self, run: Path, manifest: Mapping[str, Any], shape: tuple[int, ...], shown: tuple[int, ...]
    ) -> None:
        self._run, self._shape, self._shown = run, shape, shown
        self._keep = _keep(manifest)
        self._stamps: Mapping[str, Sequence[int]] = manifest.get("stamps", {})
        self._hashes: dict[int, str | None] = {
            entry["step"]: entry.get("relevance_sha256")
            for entry in manifest["checkpoints"]
            if entry["status"] == "done"
        }

    @overload
    def __getitem__(self, step: int) -> NDArray[np.float32]: ...

    @overload
    def __getitem__(self, step: slice) -> Relevance: ...

    def __getitem__(self, step: int | slice) -> NDArray[np.float32] | Relevance:
        if isinstance(step, slice):
            return self._between(step)
        if step not in self._hashes:
            raise self._missing(step)
        if self._keep == "none":
            raise RunError(
                f"{self._run}: keeps no relevance of its steps (--keep none); compute it with --keep "
                "pixels or --keep relevance into another folder (-o)"
            )
        path = relevance_path(self._run, step)
        stamp = self._stamps.get(str(path.relative_to(self._run)))
        try:
            if not is_as_written(path, self._hashes[step], stamp):
                raise ValueError(OTHER_BYTES)
            return _shown(_expected(map_npy(path), self._shape), self._shown)
        except (OSError, ValueError) as error:
            raise damaged(self._run, str(path.relative_to(self._run)), error, step) from error

    @overload
    def sel(self, step: int, method: Literal["nearest"] | None = None) -> NDArray[np.float32]: ...

    @overload
    def sel(self, step: slice, method: None = None) -> Relevance: ...

    def sel(
        self, step: int | slice, method: Literal["nearest"] | None = None
    ) -> NDArray[np.float32] | Relevance:
        """Return the map of a step, or of the step that is nearest to it; of a slice as ``[...]``.

        Of two steps that are equally near it is the earlier.

        Raises
        ------
        UsageError
            There is no such method, or a slice is given with one.
        """
        if method not in (None, "nearest") or (method and isinstance(step, slice)):
            raise UsageError(
                f"method {method!r}: expected 'nearest' with one step, or no method; leave it out"
            )
        if isinstance(step, slice):
            return self[step]
        return self[step if method is None or not self.steps else self._nearest(step)]

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps, in order."""
        return tuple(self._hashes)

    def _between(self, ends: slice) -> Relevance:
        steps = self.steps
        first = 0 if ends.start is None else bisect_left(steps, ends.start)
        last = len(steps) if ends.stop is None else bisect_right(steps, ends.stop)
        if ends.step is not None and ends.step < 1:
            raise UsageError(f"relevance[::{ends.step}]: expected 1 or more: steps rise")
        found = copy(self)
        found._hashes = {step: self._hashes[step] for step in steps[first : last : ends.step]}
        return found

    def _nearest(self, step: int) -> int:
        return min(self._hashes, key=lambda known: abs(known - step))

    def _missing(self, step: object) -> MissingStepError:
        """Return the error of a step that is not there, with its neighbours."""
        steps = self.steps
        if not isinstance(step, int | float | np.number) or not steps:
            return MissingStepError(f"{self._run}: no step {step!r} among {len(steps):,} steps")
        place = bisect_left(steps, step)
        near = " and ".join(f"{known:,}" for known in steps[max(0, place - 1) : place + 1])
        return MissingStepError(
            f"{self._run}: has no step {step:,}; next to it are {near}: .sel(step={step}, "
            'method="nearest") takes the nearest'
            if 0 < place < len(steps)
            else f"{self._run}: has no step {step:,}; it has {len(steps):,} from {steps[0]:,} to "
            f"{steps[-1]:,}, nearest {near}"
        )

    def __contains__(self, step: object) -> bool:
        return step in self._hashes  # without reading it

    def __iter__(self) -> Iterator[int]:
        return iter(self._hashes)

    def __len__(self) -> int:
        return len(self._hashes)

    def __repr__(self) -> str:
        return f"Relevance({steps_in_words(self.steps)}, each {self._shown})"


def steps_in_words(steps: Sequence[int]) -> str:
    """Return how many steps there are, and from where to where.

    >>> steps_in_words([100, 200, 1500]), steps_in_words([7]), steps_in_words([])
    ('3 steps 100 to 1,500', '1 step 7', 'no steps')
    """
    if len(steps) < 2:
        return f"1 step {steps[0]:,}" if steps else "no steps"
    return f"{len(steps):,} steps {steps[0]:,} to {steps[-1]:,}"


def _keep(manifest: Mapping[str, Any]) -> str:
    kept: str = manifest.get("stored", {}).get("keep", "relevance")
    return kept


@dataclass(frozen=True)
class RunFolder:
    """A run folder, read lazily.

    `manifest` is what was requested and what has been done; `pictures` says that the arrays of sequences
    are given as pictures, which figures draw: (N, L, C) as (N, 1, L, C), and (N, T, C, H, W) as
    (N, C, H, T * W), in which the pictures of all times lie side by side.
    """

    path: Path
    manifest: dict[str, Any]
    pictures: bool = field(default=False, kw_only=True)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a finished run.

        Raises
        ------
        RunError
            The folder holds no run, or one that is not finished.
        """
        folder = Path(path)
        manifest = printable_data(read_manifest(folder))
        if any(entry["status"] == "pending" for entry in manifest["checkpoints"]):
            todo = written_now(folder) or "go on with the command that began it"
            raise RunError(f"{folder}: the run is not finished; {todo}")
        return cls(folder, manifest)

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps whose relevance is there and finite, in order."""
        return tuple(c["step"] for c in self.manifest["checkpoints"] if c["status"] == "done")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the observations, (N, C, H, W) or (N, F), of sequences (N, T, C, H, W) or (N, L, C)."""
        stored = self._stored_shape
        if self.pictures and len(stored) == 5:
            samples, times, channels, height, width = stored
            return (samples, channels, height, times * width)
        return (stored[0], 1, *stored[1:]) if self.pictures and len(stored) == 3 else stored

    @property
    def _stored_shape(self) -> tuple[int, ...]:
        return tuple(self.manifest["observations"]["shape"])

    @property
    def keep(self) -> str:
        """What is kept of each step's maps: relevance, pixels or none."""
        return _keep(self.manifest)

    @property
    def relevance_shape(self) -> tuple[int, ...]:
        """Shape of what is kept of each step."""
        return of_pixels(self.shape) if self.keep == "pixels" else self.shape

    @cached_property
    def relevance(self) -> Relevance:
        """Raw relevance by step, (N, C, H, W) or (N, F); (N, H, W) with ``--keep pixels``."""
        sums = self.keep == "pixels"
        stored = of_pixels(self._stored_shape) if sums else self._stored_shape
        return Relevance(self.path, self.manifest, stored, self.relevance_shape)

    def mapped(self, name: str) -> NDArray[Any]:
        """Return one of the run's arrays, such as "dynamics", of which only what is used is read.

        A small one is read whole, and its hash is compared; a large one as of `checked_path`.
        """
        shape = self._shape_of(name)
        stored = self._stored_shape_of(name)
        if 4 * prod(shape) <= LARGEST_IN_MEMORY:
            found: NDArray[Any] = getattr(self, name)
            return found
        try:
            return _shown(_expected(map_npy(self.checked_path(f"{name}.npy")), stored), shape)
        except (OSError, ValueError) as error:
            raise damaged(self.path, f"{name}.npy", error) from error

    def checked_path(self, name: str) -> Path:
        """Return the path of a result that is as it was written, by its stamp or its hash.

        Raises
        ------
        RunError
            It is not, or cannot be read.
        """
        path, written = self.path / name, self.manifest.get("files", {}).get(name)
        try:
            if is_as_written(path, written, self.manifest.get("stamps", {}).get(name)):
                return path
        except OSError as error:
            raise damaged(self.path, name, error) from error
        raise damaged(self.path, name, OTHER_BYTES)

    def _content(self, name: str) -> bytes:
        """Return the bytes of a file as `compute` wrote them."""
        try:
            content = read_plain(self.path / name)
        except OSError as error:
            raise damaged(self.path, name, error) from error
        self._check_bytes(name, hashlib.sha256(content).hexdigest())
        return content

    def _check_bytes(self, name: str, found: str) -> None:
        if self.manifest.get("files", {}).get(name) not in (None, found):
            raise damaged(self.path, name, OTHER_BYTES)

    def _shape_of(self, name: str) -> tuple[int, ...]:
        return of_pixels(self.shape) if name in PIXEL_MAPS else self.shape

    def _stored_shape_of(self, name: str) -> tuple[int, ...]:
        return of_pixels(self._stored_shape) if name in PIXEL_MAPS else self._stored_shape

    def _array(self, name: str) -> NDArray[Any]:
        content = self._content(f"{name}.npy")
        try:
            array = read_npy(io.BytesIO(content), len(content))
            return _shown(_expected(array, self._stored_shape_of(name)), self._shape_of(name))
        except ValueError as error:
            raise damaged(self.path, f"{name}.npy", error) from error

    @property
    def by_step(self) -> bool:
        """Whether the tables have a row for each step, not for each sample of it (`lrpdyn.run.series`)."""
        return bool(self.manifest.get("tables") == "steps")

    def _columns(self, of: Of) -> Sequence[str]:
        names = names_of_every_version(of)
        return columns_by_step(names) if self.by_step else names

    def _table(self, name: str, columns: Sequence[str]) -> Table:
        try:
            with open_plain(self.path / name) as file:
                self._check_bytes(name, hashlib.file_digest(file, "sha256").hexdigest())
                file.seek(0)
                return read_table(file, columns)
        except OSError as error:
            raise damaged(self.path, name, error) from error
        except ValueError as error:
            raise damaged(self.path, name, error) from error

    @cached_property
    def observations(self) -> NDArray[np.float32]:
        """The observations as the network saw them."""
        return self._array("observations")

    @cached_property
    def dynamics(self) -> NDArray[np.float32]:
        """Sum over transitions of |R_i - R_{i+1}|."""
        return self._array("dynamics")

    @cached_property
    def net_change(self) -> NDArray[np.float32]:
        """|R_N - R_1|."""
        return self._array("net_change")

    @cached_property
    def mean_relevance(self) -> NDArray[np.float32]:
        """Mean over steps of |R_i|."""
        return self._array("mean_relevance")

    @cached_property
    def directness(self) -> NDArray[np.float32]:
        """Net change over Dynamics; 0 where nothing changed."""
        return self._array("directness")

    @cached_property
    def relative_dynamics(self) -> NDArray[np.float32]:
        """Dynamics over sum |R_i|, of channel-summed pixels (N, H, W) or (N, F)."""
        return self._array("relative_dynamics")

    @cached_property
    def pixel_entropy(self) -> NDArray[np.float32]:
        """Entropy of each pixel over the steps, (N, H, W) or (N, F); NaN without relevance."""
        return self._array("pixel_entropy")

    @cached_property
    def metrics(self) -> Table:
        """A row for each step and sample; with ``--tables steps`` for each step.

        Its columns are then medians, least and largest values over samples, as ``score_median``.
        """
        return self._table("metrics.csv", self._columns("step"))

    @cached_property
    def transitions(self) -> Table:
        """A row for each successive pair of steps and sample; with ``--tables steps`` for each pair."""
        return self._table("transitions.csv", self._columns("transition"))

    @cached_property
    def layers(self) -> Table:
        """A row for each step and layer: its weights, and what its units do.

        Raises
        ------
        RunError
            The run is one of version 0.1, which has none.
        """
        return self._added_table(LAYERS, "layer")

    @cached_property
    def faithfulness(self) -> Table:
        """A row for each measured step, sample and map: how well it says what the score depends on.

        Raises
        ------
        RunError
            The run is one of version 0.1, which has none.
        """
        return self._added_table(FAITHFULNESS, "map")

    @cached_property
    def features(self) -> Table:
        """A row for each step and feature of flat observations: its share of the relevance.

        Raises
        ------
        RunError
            The observations are not flat, or the run is one of version 0.1, which has none.
        """
        if len(self._stored_shape) != 2:
            raise RunError(
                f"{self.path}: has no {FEATURES}, which is of flat observations (N, F); these have shape "
                f"{self._stored_shape}"
            )
        return self._added_table(FEATURES, "feature")

    def _added_table(self, name: str, of: Of) -> Table:
        if name not in self.manifest.get("files", {}):
            raise RunError(
                f"{self.path}: has no {name}, which version 0.1 did not write; the command that made the "
                "run makes it"
            )
        return self._table(name, names_of_every_version(of))

    @cached_property
    def outliers(self) -> dict[str, Any]:
        """The outlier report."""
        from lrpdyn.run.outlier_report import read_report

        return read_report(self.path)

    @property
    def checks(self) -> dict[str, Any]:
        """What was measured to tell whether the maps can be trusted, by check; `summary` has it in words."""
        found: dict[str, Any] = self.manifest["checks"]
        return found

    @property
    def question(self) -> str:
        """What was requested, in words, as figures and reports say it."""
        return question_in_words(self.manifest)


def axes_of(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the axes of one observation of a run."""
    said = manifest["observations"]
    if said.get("layout") == "NCL":
        return ("channel", "time")
    return {
        1: ("feature",),
        2: ("time", "feature"),
        3: ("channel", "row", "column"),
        4: ("time", "channel", "row", "column"),
    }[len(said["shape"]) - 1]


def as_pictures(run: RunFolder) -> RunFolder:
    """Return the run as figures and pages take it, which draw pictures and features."""
    return replace(run, pictures=True)
