"""The change of every sample in every transition."""

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
    """Draw the change of every sample in every transition."""
    from lrpdyn.figures.changes import raster_of
    from lrpdyn.figures.drawings.raster import draw_raster

    (run,) = runs
    table = raster_of(run, request.samples)
    phases = run.outliers.get("phases") or {"borders": []}
    draw_raster(
        path,
        table.change,
        table.ends,
        table.samples,
        table.marks,
        about=about(run),
        borders=[border["step"] for border in phases["borders"]],
        look=request.look,
    )


KIND = Kind(
    name="raster",
    summary="the change of every sample in every transition",
    draw=draw,
    uses=("samples",),
    by_sample=True,
)
