"""What is known over the steps, as curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lrpdyn.figures.kind import Kind
from lrpdyn.figures.run_data import about

if TYPE_CHECKING:
    from lrpdyn.figures.request import Request
    from lrpdyn.run.reader import RunFolder


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw what is known over the steps, as curves."""
    from lrpdyn.figures.canvas.words import count_note
    from lrpdyn.figures.drawings.trajectory import draw_trajectory
    from lrpdyn.figures.panels import marks_of, panels_of

    (run,), count = runs, len(runs[0].mapped("observations"))
    samples = request.samples
    of = count_note(count, count)
    if samples is not None:
        of = f"sample{'s' if len(samples) > 1 else ''} {', '.join(map(str, samples))}"
    draw_trajectory(
        path,
        panels_of(run, samples, request.curve),
        about=about(run),
        samples=of,
        marks=marks_of(run, samples),
        look=request.look,
    )


KIND = Kind(
    name="trajectory",
    summary="curves over training: score, change, entropy, regions, checks",
    draw=draw,
    uses=("samples", "curve"),
    by_default=True,
)
