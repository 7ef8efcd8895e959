"""Whether a run fits on its disk and into memory: said before it starts, hours before it would fail.

Both estimates are of what is certainly needed, so that nothing is refused that would have worked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import chain
from math import prod
from pathlib import Path

import numpy as np

from lrpdyn.dynamics.accumulate import size_of_sums
from lrpdyn.dynamics.measures import of_pixels
from lrpdyn.errors import RunError
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.run.layout import MAPS, PIXEL_MAPS, relevance_path
from lrpdyn.run.tables import tables_of
from lrpdyn.system.memory import free_space, usable_memory

#: A .npy header, and a row of a table for each step and sample, at the least.
_HEADER, _ROW = 128, 40
_FLOAT32 = 4


def check_requirements(job: Job) -> None:
    """Refuse a run that cannot fit.

    Raises
    ------
    RunError
        It needs more bytes than are free, or than this process may hold; the message names the
        options that need less.
    """
    _check_disk(
        job, bytes_to_write(job), ", or less: --keep pixels or none, --dtype float16, fewer observations "
        "(--samples, --select) or steps (--every, --limit)"
    )  # fmt: skip
    held, usable = bytes_to_hold(job), usable_memory()
    if held > usable:
        raise RunError(
            f"{min(job.model.batch_size, len(job.observations.values)):,} observations that are explained "
            f"at once take {held:,} bytes of memory at least, and this process may use {usable:,}; "
            "explain fewer at once with --batch-size"
        )


def check_results(job: Job) -> None:
    """Refuse a run whose steps are all there and whose results cannot fit.

    Raises
    ------
    RunError
        They need more bytes than are free.
    """
    shape = job.observations.values.shape
    steps = len(job.places)
    needed = _missing(_of_run(job, shape, steps).items()) + size_of_sums(shape, steps)[1]
    _check_disk(job, needed, " or free some")


def _check_disk(job: Job, needed: int, instead: str) -> None:
    free = free_space(job.folder)
    if free is not None and needed > free:
        raise RunError(
            f"{job.folder}: the run has to write {needed:,} bytes at least, and {free:,} are free on its "
            f"disk; choose another with -o{instead}"
        )


def bytes_to_write(job: Job) -> int:
    """Return the bytes that the run writes at least, besides those that are there already."""
    storage, folder, shape = job.storage, job.folder, job.observations.values.shape
    steps = [checkpoint.step for checkpoint in job.own]
    whole = _FLOAT32 * prod(shape)
    files = {folder / "observations.npy": whole}
    if not storage.whole:
        # The float32 maps are kept until the sums have them: those of one step at least, and of a
        # shard those of all, for the merge.
        needed = steps if job.shard else steps[-1:]
        files |= {storage.maps_path(folder, step): whole for step in needed}
    files |= {} if job.shard else _of_run(job, shape, len(steps))
    kept = prod(storage.kept_shape(shape)) * np.dtype(storage.dtype).itemsize
    maps = ((relevance_path(folder, step), kept) for step in steps if storage.keep != "none")
    return _missing(chain(files.items(), maps)) + _of_sums(job)[1]


def _missing(files: Iterable[tuple[Path, int]]) -> int:
    """Return the bytes of the files that are not there yet."""
    return sum(size + _HEADER for path, size in files if not os.path.exists(path))


def _of_run(job: Job, shape: tuple[int, ...], steps: int) -> dict[Path, int]:
    folder, rows = (
        job.folder,
        1 if tables_of(job.options.tables, shape[0], steps) == "steps" else shape[0],
    )
    whole, pixels = _FLOAT32 * prod(shape), _FLOAT32 * prod(of_pixels(shape))
    files = {folder / f"{name}.npy": pixels if name in PIXEL_MAPS else whole for name in MAPS}
    files[folder / "metrics.csv"] = _ROW * rows * steps
    files[folder / "transitions.csv"] = _ROW * rows * (steps - 1)
    return files


def bytes_to_hold(job: Job) -> int:
    """Return the bytes of memory that the run takes at least.

    It does not grow with the samples: of many, only a batch is in memory, with its relevance.
    """
    values = job.observations.values
    shape = values.shape
    batch = 2 * _FLOAT32 * min(job.model.batch_size, len(values)) * prod(shape[1:])
    held = values.nbytes if isinstance(values, np.ndarray) else 0
    return batch + held + _of_sums(job)[0]


def _of_sums(job: Job) -> tuple[int, int]:
    """Return the bytes of the sums, of memory and of files; a shard makes none."""
    if job.shard:
        return 0, 0
    return size_of_sums(job.observations.values.shape, len(job.places))
