"""A run over its steps: the training curve, the changes, and what is looked at."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lrpdyn.figures import style
from lrpdyn.figures.style import Array

WIDTH, PANEL_HEIGHT, TEXT = 7.2, 1.5, 8.0
FLAGGED = "#d55e00"
#: Told apart with any colour vision (Okabe and Ito 2008); then dashed, then dotted.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
LINES = ("-", "--", ":")


@dataclass(frozen=True)
class Panel:
    """Lines over the same steps.

    Attributes
    ----------
    title
        What is drawn, and in what.
    steps
        (S,).
    lines
        By name, (S,) with NaN where there is no value.
    marked
        Places in `steps` whose value in the only line is out of the ordinary.
    """

    title: str
    steps: Array
    lines: Mapping[str, Array]
    marked: Sequence[int] = ()


def draw_trajectory(
    path: str | os.PathLike[str],
    panels: Sequence[Panel],
    borders: Sequence[int],
    *,
    unit: str,
    rule: str,
    question: str,
    dpi: int = 150,
) -> None:
    """Draw panels one below the other, over the same steps.

    Parameters
    ----------
    path
        Where the picture goes (.png or .pdf); replaced whole.
    panels
        From top to bottom.
    borders
        Steps at which a phase begins: thin lines through all panels.
    unit, rule, question
        Words for the axis and the title.
    dpi
        Pixels to the inch.
    """
    height = PANEL_HEIGHT * len(panels) + 0.6
    figure = Figure(figsize=(WIDTH, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for ax, panel in zip(axes, panels, strict=True):
        _draw(ax, panel, borders)
    axes[-1].set_xlabel(unit, fontsize=TEXT)
    figure.suptitle(f"rule {rule}; {question}", fontsize=TEXT, x=0.01, ha="left")
    style.save_figure(figure, path)


def _draw(ax: Axes, panel: Panel, borders: Sequence[int]) -> None:
    for number, (name, values) in enumerate(panel.lines.items()):
        ax.plot(
            panel.steps,
            values,
            LINES[number // len(COLOURS) % len(LINES)],
            color=COLOURS[number % len(COLOURS)],
            marker="." if len(panel.steps) < 60 else "",
            markersize=4,
            linewidth=1.2,
            label=name,
        )
    if panel.marked:
        (values,) = panel.lines.values()
        chosen = list(panel.marked)
        ax.plot(panel.steps[chosen], np.asarray(values)[chosen], "o", color=FLAGGED, markersize=5,
                fillstyle="none", label="beyond a fence")  # fmt: skip
    for border in borders:
        ax.axvline(border, color="0.6", linewidth=0.8, linestyle="--")
    ax.set_title(panel.title, fontsize=TEXT, loc="left")
    ax.tick_params(labelsize=TEXT)
    ax.margins(x=0.01)
    if len(panel.lines) > 1 or panel.marked:
        ax.legend(fontsize=TEXT, frameon=False, ncols=min(len(panel.lines) + 1, 6), loc="best")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.xaxis.set_major_formatter(lambda value, position: style.step_labels([round(value)])[0])
