"""Axes of curves: short numbers, steps in short, no box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import Formatter

from lrpdyn.figures.canvas import words


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


def legend_above(axes: Axes, points: float, columns: int, *entries: Any, **gaps: float) -> None:
    """Write a legend above axes, at their left end; of all lines, or of handles and names."""
    axes.legend(
        *entries, prop={"family": "DejaVu Sans", "size": points}, frameon=False, ncols=columns,
        loc="lower left", bbox_to_anchor=(0, 1), borderpad=0, borderaxespad=0.2, **gaps,
    )  # fmt: skip
