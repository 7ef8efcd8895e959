"""Names and paths of the files of a run folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from lrpdyn.errors import RunError, UnreadableRunsError
from lrpdyn.files.atomic import TEMPORARY, cannot_write, sha256_of
from lrpdyn.run.journal import JOURNAL
from lrpdyn.run.manifest import MANIFEST

#: Where maps lie that are not kept, until the sums have them; a shard's, until it is merged.
WORKING = ".maps"
#: Where the weights of a network that is being trained lie, until they are not needed any more.
LIVE_WEIGHTS = ".live"
#: The maps of a step; one of a negative step has a sign, one of a time may have more digits.
_MAPS = re.compile(r"step_(-[0-9]{11,}|[0-9]{12,})\.npy")
#: What is wrong with a file whose hash is another.
OTHER_BYTES = "its bytes are not those that were written"
#: The page that `lrpdyn report` writes.
REPORT = "report.html"
#: The maps over all steps, each a .npy file.
MAPS = ("dynamics", "net_change", "mean_relevance", "directness", "relative_dynamics",
        "pixel_entropy")  # fmt: skip
#: Those of channel-summed pixels.
PIXEL_MAPS = ("relative_dynamics", "pixel_entropy")
#: What is known of each layer at each step; runs of 0.1 have none.
LAYERS = "layers.csv"
#: How well maps say what the score depends on, at some steps; runs of 0.1 have none.
FAITHFULNESS = "faithfulness.csv"
#: The share of the relevance that features have, of flat observations; runs of 0.1 have none.
FEATURES = "features.csv"
#: The caption of the figure that each run has; runs of 0.1 have none.
CAPTION = "figures/dynamics.txt"
#: The last line of each file with a caption, by which it is known.
CAPTION_END = "(Caption of a figure, written by lrpdyn.)"
#: The files of a finished run, next to its manifest, journal and relevance.
RESULTS = ("observations.npy", *(f"{name}.npy" for name in MAPS), "metrics.csv", "transitions.csv",
           LAYERS, FAITHFULNESS, "outliers.json", "outliers.csv", "figures/dynamics.png",
           CAPTION)  # fmt: skip
#: The files of a finished shard of a run.
SHARD_RESULTS = ("observations.npy", "shard/held.npz", "shard/shard.json")
#: The regions that were found, where some were, and their picture.
FOUND_REGIONS = ("regions.npz", "figures/regions.png")
#: The regions of a shard, where it has some.
SHARD_REGIONS = "shard/regions.npz"


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


def live_path(run: Path, step: int) -> Path:
    """Return where the weights of `step` lie, of a network that is being trained."""
    return run / LIVE_WEIGHTS / f"step_{step:012d}.safetensors"


def check_maps(path: Path, written: str | None, step: int) -> None:
    """Check the maps of a step by their hash; None where an earlier version wrote none.

    Raises
    ------
    DamagedMapsError
        The file cannot be read, or holds other bytes than those that were written.
    """
    try:
        if written in (None, sha256_of(path)):
            return
        why = OTHER_BYTES
    except OSError as error:
        why = error.strerror or str(error)
    raise DamagedMapsError(path, why, step)


def clear_run(run: Path, figures: Iterable[Path]) -> None:
    """Delete the files that lrpdyn wrote into `run`, and nothing else.

    `figures` are those that it drew: `lrpdyn.figures.kinds.drawn_files` knows them.
    """
    names = (JOURNAL, *RESULTS, FEATURES, *FOUND_REGIONS, *SHARD_RESULTS, SHARD_REGIONS, REPORT)
    written = [run / name for name in names if name != CAPTION or is_caption(run / name)]
    for folder in (run / "relevance", run / WORKING):
        written += [
            path for path in sorted(folder.glob("step_*.npy")) if _MAPS.fullmatch(path.name)
        ]
    written += sorted((run / LIVE_WEIGHTS).glob("step_*.safetensors"))
    # The manifest goes last: until then the folder is known to be a run.
    for path in (*written, *figures, *leftovers(run), run / MANIFEST):
        delete(path)


def caption_path(figure: Path) -> Path:
    """Return where the caption of a figure is written: dynamics.txt, of dynamics.png."""
    return figure.with_suffix(".txt")


def is_caption(path: Path) -> bool:
    """Return whether a file is the caption of a figure, as lrpdyn writes it, and whole."""
    end = f"\n{CAPTION_END}\n".encode()
    try:
        with open(path, "rb") as file:
            file.seek(-min(len(end), path.stat().st_size), os.SEEK_END)
            return file.read() == end
    except OSError:
        return False


def delete(path: Path) -> None:
    """Delete a file of a run, where it is there."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def leftovers(run: Path) -> list[Path]:
    """Return the temporary files that a killed run left behind."""
    folders = (
        run,
        run / "relevance",
        run / "figures",
        run / "shard",
        run / WORKING,
        run / LIVE_WEIGHTS,
    )
    return [
        path
        for folder in folders
        for path in folder.glob(".*.tmp")
        if TEMPORARY.fullmatch(path.name)
    ]


def damaged(run: Path, name: str, why: object, step: int | None = None) -> UnreadableRunsError:
    """Return the error to raise where a file of a run cannot be used; `step` where it is of one."""
    if isinstance(why, OSError) and why.strerror:
        why = why.strerror  # the rest of such an error is its number and the path
    again = "" if step is None else f", with --recompute {step},"
    anew = f"the command that made the run{again} makes it anew (lrpdyn verify {run} looks at every file)"
    todo = written_now(run) or anew
    return UnreadableRunsError({run: f"{run / name}: cannot be read: {why}; {todo}"})


def written_now(run: Path) -> str:
    """Return which process writes a run right now, and what to do; empty where none is known to."""
    from lrpdyn.run.lock import read_holder  # it takes as long to load as all this

    holder = read_holder(run)
    if holder is None or holder.is_gone:
        return ""
    return f"{holder}, writes the run right now: try again when it has"
