"""Where relevance moved over training, a row a sample."""

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
    """Draw where relevance moved, a row a sample."""
    from lrpdyn.figures.canvas.moved import Moved
    from lrpdyn.figures.drawings.heatmap import draw_heatmap

    (run,) = runs
    draw_heatmap(
        path,
        run.mapped("observations"),
        Moved(
            dynamics=run.mapped("dynamics"),
            net_change=run.mapped("net_change"),
            relative=run.mapped("relative_dynamics"),
        ),
        steps=run.steps,
        about=about(run),
        samples=request.samples,
        look=request.look,
    )


KIND = Kind(
    name="dynamics",
    summary="observation, dynamics, relative dynamics, net change, overlay",
    draw=draw,
    uses=("samples",),
    by_default=True,
)
