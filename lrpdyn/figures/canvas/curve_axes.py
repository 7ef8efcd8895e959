"""Axes of curves: short numbers, steps in short, no box."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter

from lrpdyn.figures.canvas import layout, words

#: Room for the line and the gaps of an entry of a legend, in em.
ENTRY = 4.6


class _Numbers(Formatter):
    """Numbers with as many digits as keep them apart: there is no room for an offset above."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:.3g}"

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        for digits in range(3, 15):
            labels = [f"{value:.{digits}g}" for value in values]
            if len(set(labels)) == len(values):
                break
        return labels


class _Steps(Formatter):
    """Steps, "200k"; there are none below zero or between whole ones."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return words.step_labels([round(x)])[0] if x >= 0 and x == round(x) else ""

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        whole = [round(value) for value in values if value >= 0 and value == round(value)]
        names = dict(zip(whole, words.step_labels(whole), strict=True)) if whole else {}
        return [names.get(round(value), "") if value == round(value) else "" for value in values]


def tidy(axes: Axes, points: float, *, across: int, down: int) -> None:
    """Label axes of curves over steps with text of `points`, about `across` and `down` ticks each."""
    axes.tick_params(labelsize=points)
    axes.locator_params(axis="x", nbins=across)
    axes.locator_params(axis="y", nbins=down)
    axes.xaxis.set_major_formatter(_Steps())
    axes.yaxis.set_major_formatter(_Numbers())
    axes.spines[["top", "right"]].set_visible(False)


def key_lines(names: Sequence[str], width: float, em: float) -> int:
    """Return how many lines a legend of `width` pixels has."""
    return -(-len(names) // _columns(names, width, em)) if names else 0


def _columns(names: Sequence[str], width: float, em: float) -> int:
    """Return how many entries of a legend fit into a line."""
    return max(1, int(width / (layout.widest(names, em) + ENTRY * em)))


def add_key(
    figure: Figure,
    left: float,
    top: float,
    width: float,
    handles: Sequence[Artist],
    names: Sequence[str],
    em: float,
) -> float:
    """Write a legend of `width` pixels; return where the next thing may begin, in pixels."""
    if not names:
        return top
    lines = key_lines(names, width, em)
    axes = layout.add_panel(figure, left, top, width, lines * layout.LINE * em)
    axes.set_axis_off()
    legend = axes.legend(
        handles, [layout.shortened(name, width - ENTRY * em, em) for name in names],
        prop={"family": "DejaVu Sans", "size": layout.points(em, figure.dpi)}, frameon=False,
        ncols=_columns(names, width, em), loc="upper left", borderpad=0, borderaxespad=0,
        columnspacing=1.2, handlelength=2.2, labelspacing=0.2,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
    return top + lines * layout.LINE * em
