"""The relevance of a sample as a film."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lrpdyn.figures.flags import flags_of
from lrpdyn.figures.kind import FILMS, Kind
from lrpdyn.figures.run_data import about, maps_of

if TYPE_CHECKING:
    from lrpdyn.figures.request import Request
    from lrpdyn.run.reader import RunFolder


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Write the relevance of a sample as a film."""
    import numpy as np

    from lrpdyn.figures.drawings.animation import Score, draw_animation

    (run,) = runs
    metrics = run.metrics
    rows = metrics[(metrics["sample"] == request.sample) & np.isin(metrics["step"], run.steps)]
    draw_animation(
        path,
        run.mapped("observations")[request.sample],
        run.steps,
        maps_of(run, request.sample),
        Score(values=np.asarray(rows["score"]), units=rows["target"].tolist()),
        about=about(run),
        sample=request.sample,
        wanted=request.steps,
        flags=flags_of(run.outliers, request.sample),
        look=request.look,
    )


KIND = Kind(
    name="animation",
    summary="relevance over training as a film",
    draw=draw,
    formats=FILMS,
    uses=("samples", "steps"),
    file_per_sample=True,
    by_sample=True,
)
