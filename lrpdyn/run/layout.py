"""Names and paths of the files of a run folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lrpdyn.errors import RunError
from lrpdyn.files.atomic import cannot_write, sha256_of
from lrpdyn.run.journal import JOURNAL
from lrpdyn.run.manifest import MANIFEST

#: Where maps lie that are not kept, until the sums have them; a shard's, until it is merged.
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
SHARD_RESULTS = ("observations.npy", "shard/held.npz", "shard/shard.json")
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
    """Return where maps of `step` lie that are not kept."""
    return run / WORKING / relevance_path(run, step).name


class DamagedMapsError(RunError):
    """The maps of a step cannot be used."""

    def __init__(self, path: Path, why: str, step: int) -> None:
        super().__init__(
            f"{path}: cannot be used ({why}); the same command with --recompute {step} makes it again"
        )
        self.path, self.why, self.step = path, why, step


def check_maps(path: Path, written: str | None, step: int) -> None:
    """Check the maps of a step against their hash; None where an earlier version knew none.

    Raises
    ------
    DamagedMapsError
        The file cannot be read, or holds other bytes than those that were written.
    """
    try:
        if written in (None, sha256_of(path)):
            return
        why = "its bytes are not those that were written"
    except OSError as error:
        why = error.strerror or str(error)
    raise DamagedMapsError(path, why, step)


def clear_run(run: Path) -> None:
    """Delete the files that lrpdyn wrote into `run`, and nothing else."""
    written = [run / JOURNAL, *(run / name for name in RESULTS)]
    written += sorted((run / "relevance").glob(f"step_{'[0-9]' * 12}.npy"))
    written += sorted((run / WORKING).glob(f"step_{'[0-9]' * 12}.npy"))
    written += [run / name for name in SHARD_RESULTS]
    written += [path for path in sorted((run / "figures").glob("*")) if FIGURE.fullmatch(path.name)]
    written += [run / REPORT]
    # The manifest goes last: until then the folder is known to be a run.
    for path in (*written, *leftovers(run), run / MANIFEST):
        delete(path)


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
