"""Whether a run fits on its disk and into memory: said before it starts, hours before it would fail.

Both estimates are of what is certainly needed, so that nothing is refused that would have worked.
"""

from __future__ import annotations

from pathlib import Path

from lrpdyn.errors import RunError
from lrpdyn.job import Job
from lrpdyn.resources import free_space, usable_memory
from lrpdyn.run import MAPS, relevance_path

#: A .npy header, and a row of a table for each step and sample, at the least.
_HEADER, _ROW = 128, 40
#: Maps of channel-summed pixels; the others have an entry for each of the observations.
_OF_PIXELS = ("relative_dynamics", "pixel_entropy")
#: Bytes for each entry of the observations: them and the relevance of a step in float32, and one sum
#: in float64.
_HELD = 4 + 4 + 8


def check_requirements(job: Job) -> None:
    """Refuse a run that cannot fit.

    Raises
    ------
    RunError
        It needs more bytes than are free, or than this process may hold; the message names the
        options that need less.
    """
    needed, free = bytes_to_write(job), free_space(job.folder)
    if free is not None and needed > free:
        raise RunError(
            f"{job.folder}: the run has to write {needed:,} bytes at least, and {free:,} are free on its "
            "disk; choose another with -o, or less: --keep pixels or none, --dtype float16, fewer "
            "observations (--samples, --select) or steps (--every, --limit)"
        )
    held, usable = _HELD * job.observations.values.size, usable_memory()
    if held > usable:
        raise RunError(
            f"{job.observations.values.shape[0]:,} observations take {held:,} bytes of memory at least, and "
            f"this process may use {usable:,}; explain fewer at once (--samples 0-99, --select spread:100, "
            "then the others with another -o)"
        )


def bytes_to_write(job: Job) -> int:
    """Return the bytes that the run writes at least, beside those that are there already."""
    values = job.observations.values
    steps = [checkpoint.step for checkpoint in job.listing.checkpoints]
    paths = [relevance_path(job.folder, step) for step in steps]
    whole, pixels = values.nbytes, values.nbytes // (values.shape[1] if values.ndim == 4 else 1)
    files = {job.folder / f"{name}.npy": pixels if name in _OF_PIXELS else whole for name in MAPS}
    files |= dict.fromkeys((job.folder / "observations.npy", *paths), whole)
    rows = _ROW * len(values)
    files |= {job.folder / "metrics.csv": rows * len(steps)}
    files |= {job.folder / "transitions.csv": rows * (len(steps) - 1)}
    return sum(size + _HEADER for path, size in files.items() if not _there(path))


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
