"""Small heatmaps and sparklines of samples, printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrpdyn.figures.kind import Kind
from lrpdyn.figures.run_data import about

if TYPE_CHECKING:
    from lrpdyn.figures.request import Request
    from lrpdyn.figures.terminal import Terminal
    from lrpdyn.run.reader import RunFolder


def lines(run: RunFolder, request: Request, terminal: Terminal) -> list[str]:
    """Return a heatmap and sparklines of each sample, the first by default."""
    from lrpdyn.figures.terminal import picture_lines
    from lrpdyn.run.series import series_of_sample

    found: list[str] = []
    for sample in request.samples or [0]:
        series = series_of_sample(run, sample)
        curves, of = series.curves(), series.typical.removesuffix(" over samples")
        shown = {
            f"change{of}": curves["change"],
            f"prediction change{of}": curves["prediction_change"],
            f"score{of}": series.median("score"),
            f"entropy{of}": curves["entropy"],
        }
        if request.curve is not None:
            shown[request.curve.source] = request.curve.at(series.steps)
        found += [""] if found else []
        found += picture_lines(
            run.mapped("observations")[sample],
            run.mapped("dynamics")[sample],
            shown,
            steps=run.steps,
            sample=sample,
            about=about(run),
            look=request.look,
            terminal=terminal,
        )
    return found


KIND = Kind(
    name="terminal",
    summary="a small heatmap and sparklines, printed",
    lines=lines,
    formats=(),
    uses=("samples", "curve"),
)
