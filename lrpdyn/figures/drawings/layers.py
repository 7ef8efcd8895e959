"""The layers over training: how far their weights moved, what their units and features are like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lrpdyn.errors import RunError
from lrpdyn.figures.canvas import layout, saving, style
from lrpdyn.figures.canvas.curve_axes import tidy
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.request import Request
from lrpdyn.run.layer_curves import LayerCurves, layer_curves
from lrpdyn.run.layout import LAYERS
from lrpdyn.run.reader import RunFolder

WIDTH, PANEL_HEIGHT, COLUMNS = 7.2, 1.3, 2
#: Room left of a panel for its numbers, and between panels and rows, in em.
LEFT, RIGHT, BELOW = 4.4, 1.2, 2.9
#: Room for the line and the gaps of an entry of the legend, in em.
ENTRY = 4.6
FEW_STEPS = 60
_UNNAMED = "0.75"


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw a line a layer in each panel."""
    (run,) = runs
    curves = layer_curves(run)
    if not curves.drawn:
        raise RunError(f"{run.path}: {LAYERS} has no number to draw: the network has no weights")
    draw_layers(path, curves, unit=run.manifest["unit"], look=request.look)


@saving.own_settings()
def draw_layers(path: Path, curves: LayerCurves, *, unit: str, look: Look) -> None:
    """Draw the columns of layers.csv that hold a number, two panels in a row."""
    em, width = layout.smallest_em(look.dpi), WIDTH * look.dpi
    drawn = curves.drawn
    notes = ["Layers over training"]
    if len(curves.layers) > len(curves.named):
        count = len(curves.layers)
        notes.append(
            f"named: {len(curves.named)} of {count} layers, whose weights moved most; grey: others"
        )
    head = layout.header_of(notes, width, em)
    inner = (width - COLUMNS * (LEFT + RIGHT) * em) / COLUMNS
    names = [layout.shortened(name, width / 2 - ENTRY * em, em) for name in curves.named]
    entries = max(1, int((width - LEFT * em) / (layout.widest(names, em) + ENTRY * em)))
    legend = -(-len(names) // entries) * layout.LINE * em
    top, height = (0.9 + head.height) * em, PANEL_HEIGHT * look.dpi
    row = height + (layout.LINE + BELOW) * em
    rows = -(-len(drawn) // COLUMNS)
    figure = layout.new_figure(width, top + legend + rows * row + 2 * em, look.dpi)
    head.write(figure)
    handles: list[Line2D] = []
    for number, (name, title) in enumerate(drawn.items()):
        left = (number % COLUMNS) * width / COLUMNS
        above = top + legend + 0.6 * em + (number // COLUMNS) * row
        layout.add_text(figure, left + 0.6 * em, above, [title], em)
        over = above + (layout.LINE + 0.3) * em
        axes = layout.add_panel(figure, left + LEFT * em, over, inner, height)
        handles = _draw(axes, curves, name, em)
    key = layout.add_panel(figure, LEFT * em, top, width - (LEFT + RIGHT) * em, legend)
    key.set_axis_off()
    key.legend(
        handles, names, prop={"family": "DejaVu Sans", "size": layout.points(em, look.dpi)},
        frameon=False, ncols=entries, loc="upper left", borderpad=0, borderaxespad=0,
        columnspacing=1.2, handlelength=2.2, labelspacing=0.2,
    )  # fmt: skip
    below = top + legend + rows * row + 0.3 * em
    layout.add_text(figure, width / 2, below, [unit], em, align="center")
    saving.save_figure(figure, path)


def _draw(axes: Axes, curves: LayerCurves, name: str, em: float) -> list[Line2D]:
    """Draw the lines of one column; return those of the layers that are named."""
    values = curves.values[name]
    if name == "weight_change":
        values = np.where(values > 0, values, np.nan)  # has no logarithm: a copy, or the first step
    marker = "." if len(curves.steps) < FEW_STEPS else ""
    for layer, line in zip(curves.layers, values.T, strict=True):
        if layer not in curves.named:
            axes.plot(curves.steps, line, color=_UNNAMED, linewidth=0.8, label=layer)
    handles = []
    for number, layer in enumerate(curves.named):
        handles += axes.plot(
            curves.steps,
            values[:, curves.layers.index(layer)],
            style.LINE_STYLES[number // len(style.LINE_COLOURS)],
            color=style.LINE_COLOURS[number % len(style.LINE_COLOURS)],
            marker=marker,
            markersize=4,
            linewidth=1.2,
            label=layer,
        )
    tidy(axes, layout.points(em, axes.figure.dpi), across=5, down=4)
    if name == "weight_change":
        _logarithmic(axes, values)
    low, high = int(curves.steps[0]), int(curves.steps[-1])
    margin = 0.01 * (high - low) or 0.5
    axes.set_xlim(low - margin, high + margin)
    return handles


def _logarithmic(axes: Axes, values: style.Array) -> None:
    """Make the axis of values logarithmic, with a few plain numbers at it."""
    from matplotlib.ticker import FixedLocator, NullLocator

    from lrpdyn.figures.canvas.words import log_ticks

    formatter = axes.yaxis.get_major_formatter()
    axes.set_yscale("log")
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    axes.set_ylim(low / 1.2, high * 1.2)
    axes.yaxis.set_major_locator(FixedLocator(log_ticks(low / 1.2, high * 1.2)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(formatter)
