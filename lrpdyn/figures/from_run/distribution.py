"""How the changes are distributed, with their fences and outliers."""

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
    """Draw how changes are distributed, with fences and outliers."""
    from lrpdyn.figures.drawings.distribution import draw_distribution
    from lrpdyn.figures.populations import populations_of

    (run,) = runs
    draw_distribution(path, populations_of(run), about=about(run), look=request.look)


KIND = Kind(
    name="distribution",
    summary="the differences, their fences, the outliers and their causes",
    draw=draw,
    by_default=True,
)
