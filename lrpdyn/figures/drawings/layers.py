"""The layers over training: how far their weights moved, what their units and features are like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lrpdyn.errors import RunError
from lrpdyn.figures.canvas import layout, saving, style
from lrpdyn.figures.canvas.curve_axes import add_key, key_lines, tidy
from lrpdyn.figures.canvas.look import PAGE, Look
from lrpdyn.figures.canvas.words import About, Caption, span_of
from lrpdyn.figures.request import Request
from lrpdyn.figures.run_data import about_of
from lrpdyn.run.layer_curves import LayerCurves, layer_curves
from lrpdyn.run.layout import LAYERS
from lrpdyn.run.reader import RunFolder

#: The height of a panel in em, and the width of a figure that has two of them abreast.
PANEL_HEIGHT, TWO_ABREAST = 11.7, 45.0
#: Room left of a panel for its numbers, and between panels and rows, in em.
LEFT, RIGHT, BELOW = 4.4, 1.2, 2.9
FEW_STEPS = 60
_UNNAMED = "0.75"


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw a line a layer in each panel."""
    (run,) = runs
    curves = layer_curves(run)
    if not curves.drawn:
        raise RunError(f"{run.path}: {LAYERS} has no number to draw: the network has no weights")
    draw_layers(path, curves, about=about_of(run), look=request.look)


@saving.own_settings()
def draw_layers(path: Path, curves: LayerCurves, *, about: About, look: Look) -> None:
    """Draw the columns of layers.csv that hold a number, two panels in a row of a page."""
    width, em = look.page(PAGE, PAGE)
    drawn = curves.drawn
    steps = curves.steps.tolist()
    count, named = len(curves.layers), len(curves.named)
    notes = [
        f"{span_of(steps, about.unit)}.",
        *(f"{title.capitalize()}." for title in drawn.values()),
    ]
    if count > named:
        notes.append(
            f"Named: {named} of {count} layers, those whose weights moved most; the others are grey."
        )
    caption = Caption(
        title="Layers during training",
        line=[f"{named} of {count} layers named" if count > named else f"{count} layers",
              *about.line(steps)[1:]],
        notes=notes,
    )  # fmt: skip
    columns = 2 if width > TWO_ABREAST * em else 1
    inner = width / columns - (LEFT + RIGHT) * em
    titles = [layout.wrap(title, width / columns - 1.2 * em, em) for title in drawn.values()]
    lines = max(len(title) for title in titles)
    key_width = width - 1.2 * em
    of_key = (key_lines(curves.named, key_width, em) * layout.LINE + 0.6) * em
    height = PANEL_HEIGHT * em
    row = height + (lines * layout.LINE + BELOW) * em
    rows = -(-len(drawn) // columns)
    head = layout.header_of(caption, look, width, em, (of_key + rows * row) / em + 1.4)
    top = (0.9 + head.height) * em
    figure = layout.new_figure(width, top + of_key + rows * row + 1.4 * em, look.dpi)
    head.write(figure)
    handles: list[Line2D] = []
    for number, (name, title) in enumerate(zip(drawn, titles, strict=True)):
        left = (number % columns) * width / columns
        above = top + of_key + (number // columns) * row
        first = above + (lines - len(title)) * layout.LINE * em
        layout.add_text(figure, left + 0.6 * em, first, title, em)
        over = above + (lines * layout.LINE + 0.3) * em
        axes = layout.add_panel(figure, left + LEFT * em, over, inner, height)
        handles = _draw(axes, curves, name, em)
    add_key(figure, 0.6 * em, top, key_width, handles, curves.named, em)
    below = top + of_key + rows * row - 0.3 * em
    layout.add_text(figure, width / 2, below, [about.unit], em, align="center")
    saving.save_figure(figure, path, caption, look)


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
