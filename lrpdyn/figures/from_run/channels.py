"""The channels of a sample, a row each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lrpdyn.figures.kind import Kind
from lrpdyn.figures.run_data import about, maps_of

if TYPE_CHECKING:
    from lrpdyn.figures.request import Request
    from lrpdyn.run.reader import RunFolder


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw the channels of a sample apart."""
    from lrpdyn.figures.drawings.channels import draw_channels

    (run,) = runs
    draw_channels(
        path,
        run.mapped("observations")[request.sample],
        run.mapped("dynamics")[request.sample],
        run.mapped("net_change")[request.sample],
        maps_of(run, request.sample),
        steps=run.steps,
        shown=run.steps[-1:] if request.steps is None else request.steps,
        sample=request.sample,
        about=about(run),
        look=request.look,
    )


KIND = Kind(
    name="channels",
    summary="the channels of an observation apart, as frames of a stack",
    draw=draw,
    uses=("samples", "steps"),
    file_per_sample=True,
)
