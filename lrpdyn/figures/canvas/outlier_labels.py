"""The strongest values of a distribution, written above its drawing with their causes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrpdyn.figures.canvas import layout, style

MOST_LABELS, LABEL_LINES = 5, 2
THIN = 0.6


@dataclass(frozen=True)
class Label:
    """A value and its name in lines."""

    value: float
    lines: list[str]


def labels_of(named: Sequence[tuple[float, str]], width: float, em: float) -> list[Label]:
    """Break the strongest labels into at most two lines of `width` pixels each."""
    labels = []
    for value, name in strongest_labels(named):
        lines = layout.wrap(f"{value:.3g}  {name}", width, em)
        if len(lines) > LABEL_LINES:
            cut = layout.shortened(" ".join(lines[LABEL_LINES - 1 :]), width - em, em)
            lines = [*lines[: LABEL_LINES - 1], cut]
        labels.append(Label(value=value, lines=lines))
    return labels


def strongest_labels(labels: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Return the five largest positive values with their names, largest first."""
    drawable = [(value, name) for value, name in labels if np.isfinite(value) and value > 0]
    return sorted(drawable, key=lambda label: -label[0])[:MOST_LABELS]


def write_labels(figure: Figure, axes: Axes, labels: Sequence[Label], em: float) -> None:
    """Write labels above the drawing, the largest on top, each to the left of its own line.

    The line of a larger value then passes to the right of the labels of smaller ones.
    """
    width, height = axes.bbox.size
    row = 0
    for label in labels:
        place = axes.transAxes.inverted().transform(axes.transData.transform((label.value, 0)))[0]
        room = layout.widest(label.lines, em)
        left = min(max(place * width - room - 0.4 * em, 0.0), width - room)
        first = 1 - layout.LINE * em * (row + 0.5) / height
        axes.plot(
            [place, place],
            [0, first],
            color=style.FLAGGED,
            linewidth=THIN,
            transform=axes.transAxes,
        )
        for line in label.lines:
            axes.text(
                left / width,
                1 - layout.LINE * em * (row + 0.5) / height,
                line,
                transform=axes.transAxes,
                verticalalignment="center",
                **layout.text_style(em, figure.dpi),
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0},
            )
            row += 1
