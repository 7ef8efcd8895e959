"""Two or more runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lrpdyn.figures.kind import Kind

if TYPE_CHECKING:
    from lrpdyn.figures.request import Request
    from lrpdyn.run.reader import RunFolder


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw runs side by side."""
    from lrpdyn.figures.changes import sides_of
    from lrpdyn.figures.drawings.side_by_side import MOST_SAMPLES, draw_side_by_side

    samples = request.samples
    if samples is None:
        samples = range(min(MOST_SAMPLES, len(runs[0].mapped("observations"))))
    chosen = list(samples)
    sides, alike = sides_of(runs, chosen)
    draw_side_by_side(
        path,
        runs[0].mapped("observations")[chosen],
        sides,
        samples=chosen,
        alike=alike,
        unit=runs[0].manifest["unit"],
        look=request.look,
    )


KIND = Kind(
    name="comparison",
    summary="several RUNs side by side",
    draw=draw,
    uses=("samples",),
    several_runs=True,
)
