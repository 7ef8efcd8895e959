"""A run over its steps: the training curve, the changes, and what is checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lrpdyn.figures.canvas import layout, saving, style, words
from lrpdyn.figures.canvas.curve_axes import legend_above, tidy
from lrpdyn.figures.canvas.look import DEFAULT_LOOK, Look
from lrpdyn.figures.canvas.style import Array

WIDTH, PANEL_HEIGHT = 7.2, 1.25
#: Room left and right of the panels for the numbers at their axes, in em.
LEFT, RIGHT = 5.6, 5.0
#: Room for the line and the gaps of an entry of a legend, in em.
ENTRY = 4.6
FEW_STEPS = 60


@dataclass(frozen=True, kw_only=True)
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
        Places in `steps` whose value in the first line is out of the ordinary.
    band
        Lower and upper end, (S,) each, of what lies around the first line.
    right
        A line with its own axis at the right, by name.
    stepwise
        Whether values hold until the next step, as the number of a unit does.
    """

    title: str
    steps: Array
    lines: Mapping[str, Array]
    marked: Sequence[int] = ()
    band: tuple[Array, Array] | None = None
    right: Mapping[str, Array] = field(default_factory=dict)
    stepwise: bool = False

    @property
    def names(self) -> list[str]:
        """The entries of the legend, where it needs one."""
        named = [*self.lines, *self.right]
        return named if len(named) > 1 else []


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What is marked through all panels, at steps.

    Attributes
    ----------
    borders
        Where a phase begins.
    flagged
        Where a transition that lies beyond a fence leads to.
    wrong
        Where something is wrong by its own criterion.
    note
        Why there are no phases; empty where there are.
    """

    borders: Sequence[int] = ()
    flagged: Sequence[int] = ()
    wrong: Sequence[int] = ()
    note: str = ""

    def in_words(self) -> str:
        """Say how each is drawn, and which there are none of."""
        borders = "dashed: a phase begins" if self.borders else f"no phases: {self.note}"
        flagged = "dotted, ringed: change beyond a fence" if self.flagged else "no step is flagged"
        wrong = "triangle: pathology" if self.wrong else "no pathologies"
        return "; ".join((borders, flagged, wrong))


NO_MARKS = Marks()


@saving.own_settings()
def draw_trajectory(
    path: str | os.PathLike[str],
    panels: Sequence[Panel],
    *,
    about: words.About,
    samples: str,
    marks: Marks = NO_MARKS,
    look: Look = DEFAULT_LOOK,
) -> None:
    """Draw panels one below the other, over the same steps.

    Parameters
    ----------
    path
        Where the picture goes (.png, .svg or .pdf); replaced whole.
    panels
        From top to bottom.
    about, look
        Words for the header and the axis, and pixels to the inch.
    samples
        Which samples the values are of, in words.
    marks
        What is marked in all panels.
    """
    em = layout.smallest_em(look.dpi)
    width = WIDTH * look.dpi
    inner = width - (LEFT + RIGHT) * em
    header = [
        "What changes over training",
        f"rule {about.rule}; {samples}",
        about.question,
        marks.in_words(),
    ]
    head = layout.header_of(header, width, em)
    top = (0.9 + head.height) * em
    titles = [layout.wrap(panel.title, inner + (LEFT + RIGHT - 1.2) * em, em) for panel in panels]
    above = [
        (layout.LINE * len(lines) + 1.5 * _rows(panel, inner, em) + 0.4) * em
        for lines, panel in zip(titles, panels, strict=True)
    ]
    height = PANEL_HEIGHT * look.dpi
    total = top + sum(above) + len(panels) * (height + 1.0 * em) + 3.2 * em
    figure = layout.new_figure(width, total, look.dpi)
    head.write(figure)
    ends = _ends(panels)
    for number, (panel, lines, over) in enumerate(zip(panels, titles, above, strict=True)):
        layout.add_text(figure, 0.6 * em, top, lines, em)
        axes = layout.add_panel(figure, LEFT * em, top + over, inner, height)
        _draw(axes, panel, marks, _columns(panel, inner, em), em)
        axes.set_xlim(*ends)
        last = number == len(panels) - 1
        axes.tick_params(labelbottom=last)
        top += over + height + 1.0 * em
    layout.add_text(figure, LEFT * em + inner / 2, top + 1.2 * em, [about.unit], em, align="center")
    saving.save_figure(figure, path)


def _ends(panels: Sequence[Panel]) -> tuple[float, float]:
    steps = np.concatenate([panel.steps for panel in panels])
    low, high = float(steps.min()), float(steps.max())
    margin = 0.01 * (high - low) or 0.5
    return low - margin, high + margin


def _columns(panel: Panel, width: float, em: float) -> int:
    """Return how many entries of the legend fit into a row."""
    if not panel.names:
        return 1
    return max(1, int(width / (layout.widest(panel.names, em) + ENTRY * em)))


def _rows(panel: Panel, width: float, em: float) -> int:
    return -(-len(panel.names) // _columns(panel, width, em))


def _draw(axes: Axes, panel: Panel, marks: Marks, columns: int, em: float) -> None:
    points = layout.points(em, axes.figure.dpi)
    handles = []
    sides = [(axes, panel.lines)]
    if panel.right:
        other = axes.twinx()
        sides.append((other, panel.right))
    colours = 0
    for side, lines in sides:
        for name, values in lines.items():
            handles.append(_line(side, panel, name, values, colours))
            colours += 1
    if panel.band is not None:
        axes.fill_between(
            panel.steps, *panel.band, color=style.LINE_COLOURS[0], alpha=0.15, linewidth=0
        )
    if panel.marked:
        chosen = list(panel.marked)
        values = np.asarray(next(iter(panel.lines.values())))
        axes.plot(panel.steps[chosen], values[chosen], "o", color=style.FLAGGED, markersize=6,
                  fillstyle="none", label="beyond a fence")  # fmt: skip
    for border in marks.borders:
        axes.axvline(border, color="0.6", linewidth=0.8, linestyle="--", label="phase")
    for step in marks.flagged:
        axes.axvline(step, color=style.FLAGGED, linewidth=0.8, linestyle=":", label="flagged")
    if marks.wrong:
        axes.plot(marks.wrong, np.ones(len(marks.wrong)), "v", color=style.FLAGGED, markersize=4,
                  transform=axes.get_xaxis_transform(), clip_on=False, label="pathology")  # fmt: skip
    for side, _ in sides:
        tidy(side, points, across=8, down=4)
        if panel.right:
            side.spines["right"].set_visible(True)
            side.tick_params(axis="y", labelcolor=side.lines[0].get_color())
    if panel.names:
        legend_above(axes, points, columns, handles, panel.names, columnspacing=1.2,
                     handlelength=2.2, labelspacing=0.2)  # fmt: skip


def _line(axes: Axes, panel: Panel, name: str, values: Array, number: int) -> Line2D:
    (line,) = axes.plot(
        panel.steps,
        values,
        style.LINE_STYLES[number // len(style.LINE_COLOURS) % len(style.LINE_STYLES)],
        color=style.LINE_COLOURS[number % len(style.LINE_COLOURS)],
        marker="." if len(panel.steps) < FEW_STEPS else "",
        markersize=4,
        linewidth=1.2,
        drawstyle="steps-post" if panel.stepwise else "default",
        label=name,
    )
    return line
