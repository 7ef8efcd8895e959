"""The relevance of a sample, and its differences, at some steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lrpdyn.figures.flags import flags_of
from lrpdyn.figures.kind import Kind
from lrpdyn.figures.run_data import about, maps_of

if TYPE_CHECKING:
    from lrpdyn.figures.request import Request
    from lrpdyn.run.reader import RunFolder


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw the relevance of a sample and its differences at some steps."""
    from lrpdyn.figures.drawings.filmstrip import draw_filmstrip

    (run,) = runs
    draw_filmstrip(
        path,
        run.mapped("observations")[request.sample],
        run.steps,
        maps_of(run, request.sample),
        about=about(run),
        sample=request.sample,
        wanted=request.steps,
        flags=flags_of(run.outliers, request.sample),
        look=request.look,
    )


KIND = Kind(
    name="filmstrip",
    summary="relevance and its differences, at log-spaced and flagged steps",
    draw=draw,
    uses=("samples", "steps"),
    file_per_sample=True,
    by_default=True,
)
