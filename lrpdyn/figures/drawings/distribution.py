"""How the changes are distributed, where the fences lie, and what lies beyond them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas import layout, saving, style, words
from lrpdyn.figures.canvas.curve_axes import add_key, key_lines
from lrpdyn.figures.canvas.look import COLUMN, DEFAULT_LOOK, Look
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.request import Request
from lrpdyn.figures.run_data import about_of
from lrpdyn.files.names import NO_NAMES, Names
from lrpdyn.outliers.render import place
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series

FEWEST_FOR_FENCE = 20
FARTHEST_FENCE = 1000.0
HISTOGRAM_HEIGHT, STRIP_HEIGHT = 8.0, 2.5
#: Within the fences, beyond the mild one, and beyond the far one.
INSIDE = style.LINE_COLOURS[0]
BEYOND = {"mild": style.LINE_COLOURS[4], "far": style.FLAGGED}
#: Left and right of a panel, in em.
AROUND = 7
LINE_WIDTH, THIN = 1.2, 0.6
MOST_LABELS, LABEL_LINES = 5, 2
FENCE_LINES: dict[Literal["mild", "far"], Literal["--", "-"]] = {"mild": "--", "far": "-"}
WHAT_IS_COUNTED = {
    "steps": "change of a transition, median over samples",
    "samples": "change of a sample, sum over transitions",
    "pixels": "relative dynamics of a pixel",
    "cells": "change of one sample in one transition",
}


@dataclass(frozen=True, kw_only=True)
class Population:
    """Values of one kind with their fences.

    `values` are (n,), not negative; the fences are None where there is none. `labels` are value and
    name of the strongest outliers, with their largest cause; the five largest are written into the
    panel. `beyond` are the values that lie beyond fences of their own, mild and far, where there is
    none for all; `note` is what is said of these fences.
    """

    name: str
    values: Array
    mild: float | None
    far: float | None
    labels: list[tuple[float, str]]
    beyond: Mapping[str, Array] = field(default_factory=dict)
    note: str = ""

    def outliers(self, severity: str) -> Array:
        """Return the finite, positive values beyond the mild and not the far fence, or the far one."""
        positive = positive_part(self.values)
        if severity in self.beyond:
            return positive_part(self.beyond[severity])
        mild, far = (np.inf if fence is None else fence for fence in (self.mild, self.far))
        if severity == "far":
            return positive[positive > far]
        return positive[(positive > mild) & (positive <= far)]

    def severity_of(self, outlier: float) -> str:
        """Return which fence an outlier lies beyond."""
        if self.beyond:
            return "far" if outlier in self.beyond.get("far", ()) else "mild"
        return "far" if self.far is not None and outlier > self.far else "mild"


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw how changes are distributed, with fences and outliers."""
    (run,) = runs
    draw_distribution(path, populations_of(run), about=about_of(run), look=request.look)


def populations_of(run: RunFolder) -> list[Population]:
    """Return the four populations of the outlier report, with fences and labelled outliers.

    Where the tables are by step, changes of samples are not known: steps and pixels alone.
    """
    series = table_series(run)
    change = series.changes()
    values = {
        "steps": series.median_changes(),
        "samples": None if change is None else change.sum(axis=0),
        "pixels": run.mapped("relative_dynamics").ravel(),
        "cells": None if change is None else change.ravel(),
    }
    found, names = [], run.outliers.get("names", NO_NAMES)
    for name, of_kind in values.items():
        if of_kind is None:
            continue
        total, note = run.outliers["totals"][name], ""
        if total.get("compared_with"):  # each change has a fence of its own
            note = (
                f"{total['far']:,} extreme and {total['mild']:,} unusual, each compared with the "
            )
            note += f"{total['compared_with']} transitions around it"
        flagged = [entry for entry in run.outliers[name] if entry["severity"] != "none"]
        found.append(
            Population(
                name=name,
                values=of_kind,
                mild=total["fence_mild"],
                far=total["fence_far"],
                labels=[(entry["value"], label(entry, names)) for entry in flagged[:MOST_LABELS]],
                beyond={
                    severity: np.array([e["value"] for e in flagged if e["severity"] == severity])
                    for severity in (BEYOND if note else ())
                },
                note=note,
            )
        )
    return found


def label(entry: Mapping[str, Any], names: Names = NO_NAMES) -> str:
    """Return where an outlier is and why: "800k → 900k, sample 2: action_flip"."""
    where = dict(entry["where"])
    words_ = []
    if "from_step" in where:
        ends = words.step_labels([where.pop("from_step"), where.pop("to_step")])
        words_.append(" → ".join(ends))
    words_ += [place(where, names)] if where else []
    causes = sorted(entry["causes"], key=lambda cause: -(cause.get("share") or 0.0))
    return ", ".join(words_) + (f": {causes[0]['cause']}" if causes else "")


@saving.own_settings()
def draw_distribution(
    path: str | os.PathLike[str],
    populations: Sequence[Population],
    *,
    about: words.About,
    look: Look = DEFAULT_LOOK,
) -> None:
    """Draw a histogram for each population, with its fences and the values beyond them.

    Raises
    ------
    UsageError
        There are no populations.
    """
    if not populations:
        raise UsageError(
            "distribution: expected at least one population, found none; compute the run first"
        )
    caption = words.Caption(
        title="How the changes are distributed",
        line=[f"rule {about.rule}", f"values in {about.value_unit}"],
        notes=[
            f"Rule {about.rule}. Question: {about.question}. Values are in {about.value_unit}.",
            *(f"{one.name.capitalize()}: {describe(one)}." for one in populations),
            "The strongest outliers are named with their largest cause.",
        ],
    )
    saving.save_figure(_figure(populations, caption, look), path, caption, look)


def positive_part(values: Array) -> Array:
    """Return the finite positive values, float64: what a log axis can show."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    return flat[np.isfinite(flat) & (flat > 0)]


def describe(population: Population) -> str:
    """Return in words how many values there are, the share of zeros, the fences and what lies beyond."""
    values = np.asarray(population.values, dtype=np.float64).ravel()
    positive = positive_part(values)
    parts = [f"n = {values.size:,}"]
    missing = int((~np.isfinite(values)).sum())
    zeros = values.size - missing - positive.size
    if zeros:
        parts[0] += f", {100 * zeros / values.size:.3g} % zeros"
    if missing:
        parts[0] += f", {missing:,} not finite"
    fences = [
        f"{name} from {fence:.3g}"
        for name, fence in (("unusual", population.mild), ("extreme", population.far))
        if fence is not None
    ]
    if not fences and positive.size < FEWEST_FOR_FENCE:
        return f"{parts[0]}: too few for a fence"
    parts.append(", ".join(fences) or population.note or "no fence")
    if population.far is not None:
        parts.append(f"{len(population.outliers('far')):,} extreme")
    return "; ".join(parts)


def in_short(population: Population) -> str:
    """Return how many values there are and how many are outliers, for the head of a panel."""
    count = np.asarray(population.values).size
    found = [
        f"{len(population.outliers(severity)):,} {words.SEVERITIES[severity]}"
        for severity in ("far", "mild")
        if len(population.outliers(severity))
    ]
    if not found:
        no_fence = population.mild is None and not population.beyond
        found = (
            []
            if not no_fence
            else ["too few for fences" if count < FEWEST_FOR_FENCE else "no fence"]
        )
    return ", ".join([f"n = {count:,}", *found])


def axis_limits(positive: Array, fences: Sequence[float | None]) -> tuple[float, float]:
    """Return the ends of the log axis: all values, and fences up to 1,000 times beyond them."""
    low, high = float(positive.min()), float(positive.max())
    near = [
        fence
        for fence in fences
        if fence is not None and low / FARTHEST_FENCE <= fence <= high * FARTHEST_FENCE
    ]
    low, high = min([low, *near]), max([high, *near])
    margin = max((high / low) ** 0.03, 1.1)
    return low / margin, high * margin


def bin_edges(positive: Array) -> Array:
    """Return 10 to 60 bins of equal width in the logarithm, about the square root of n of them."""
    low, high = float(positive.min()), float(positive.max())
    if low == high:
        return np.array([low / 1.05, high * 1.05])
    return np.geomspace(low, high, int(np.clip(np.sqrt(positive.size), 10, 60)) + 1)


def _figure(populations: Sequence[Population], caption: words.Caption, look: Look) -> Figure:
    width, em = look.page(5.25, COLUMN)
    handles, names = _key(populations)
    inner = width - 1.2 * em
    key_height = key_lines(names, inner, em) * layout.LINE
    # Two panels abreast on a page.
    abreast = 2 if width > 45 * em else 1
    each = width / abreast
    labels = [labels_of(population.labels, each - AROUND * em, em) for population in populations]
    heights = [
        (layout.LINE + 0.3 + _body_height(population, of_panel) + 4.5) * em
        for population, of_panel in zip(populations, labels, strict=True)
    ]
    rows = [max(heights[at : at + abreast]) for at in range(0, len(heights), abreast)]
    head = layout.header_of(caption, look, width, em, key_height + 0.6 + sum(rows) / em)
    key_top = (0.9 + head.height) * em
    top = key_top + (key_height + 0.6) * em
    figure = layout.new_figure(width, top + sum(rows), look.dpi)

    head.write(figure)
    add_key(figure, 0.6 * em, key_top, inner, handles, names, em)
    for number, (population, of_panel) in enumerate(zip(populations, labels, strict=True)):
        left = number % abreast * each
        above = top + sum(rows[: number // abreast])
        layout.add_text(figure, left + 0.6 * em, above, [population.name], em, bold=True)
        after = left + 1.2 * em + layout.text_width(f"{population.name} ", em, bold=True)
        below = layout.add_text(figure, after, above, [in_short(population)], em) + 0.3 * em
        _draw_population(figure, population, of_panel, left, below, each, em)
    return figure


def _key(populations: Sequence[Population]) -> tuple[list[Artist], list[str]]:
    """Return the legend's entries: of what is drawn, and of nothing else."""
    found: list[tuple[Artist, str]] = []
    outliers = [name for name in BEYOND if any(len(one.outliers(name)) for one in populations)]
    if outliers:
        found.append((Patch(color=INSIDE), "usual"))
    found += [(Patch(color=BEYOND[name]), words.SEVERITIES[name]) for name in outliers]
    for name, line in FENCE_LINES.items():
        if any(getattr(one, name) is not None for one in populations):
            handle = Line2D([], [], color="black", linewidth=LINE_WIDTH, linestyle=line)
            found.append((handle, f"{words.SEVERITIES[name]} from here"))
    return [handle for handle, _ in found], [name for _, name in found]


def _body_height(population: Population, labels: Sequence[Label]) -> float:
    """Height of a panel in em: the histogram or the strip, and a line for each label above it."""
    positive = positive_part(population.values)
    if positive.size == 0:
        return 0.0
    drawn = STRIP_HEIGHT if positive.size < FEWEST_FOR_FENCE else HISTOGRAM_HEIGHT
    return drawn + layout.LINE * sum(len(label.lines) for label in labels)


def _draw_population(
    figure: Figure,
    population: Population,
    labels: Sequence[Label],
    left: float,
    top: float,
    width: float,
    em: float,
) -> None:
    positive = positive_part(population.values)
    if positive.size == 0:
        layout.add_text(figure, left + 0.6 * em, top, ["nothing above zero to draw"], em)
        return
    fences = (population.mild, population.far)
    height = _body_height(population, labels) * em
    axes = layout.add_panel(figure, left + 4.5 * em, top, width - AROUND * em, height)
    draw = _draw_strip if positive.size < FEWEST_FOR_FENCE else _draw_histogram
    draw(axes, population)
    drawn = 1 - layout.LINE * em * sum(len(label.lines) for label in labels) / height
    axes.set_ylim(-0.12, -0.12 + 1.22 / drawn)
    if positive.size >= FEWEST_FOR_FENCE:
        layout.add_rotated(figure, left + 2.6 * em, top + height - 4.2 * em, "count", em)

    low, high = axis_limits(positive, fences)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = words.log_ticks(low, high)
    needed = layout.widest([f"{tick:.3g}" for tick in ticks], em) + em
    # A log axis shares its width among the ticks, less what lies beyond the outermost.
    ticks = ticks[:: max(1, math.ceil(len(ticks) * needed / (axes.bbox.width + needed)))]
    axes.set_xticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelsize=layout.points(em, figure.dpi))
    axes.spines[["top", "right"]].set_visible(False)
    for fence, line in zip(fences, FENCE_LINES.values(), strict=True):
        if fence is not None and low <= fence <= high:
            axes.axvline(fence, ymax=drawn, color="black", linewidth=LINE_WIDTH, linestyle=line)
    write_labels(figure, axes, population, labels, em)
    what = [WHAT_IS_COUNTED.get(population.name, "value")]
    middle = left + width / 2 + em
    layout.add_text(figure, middle, top + height + 2.1 * em, what, em, align="center")


def _draw_histogram(axes: Axes, population: Population) -> None:
    positive = positive_part(population.values)
    edges = bin_edges(positive)
    counts, _ = np.histogram(positive, edges)
    # The highest bin is 1 on the axis, so that labels find the same room in every panel.
    highest = int(counts.max())
    axes.stairs(counts / highest, edges, fill=True, color=INSIDE)
    both = np.concatenate([population.outliers(name) for name in BEYOND])
    # The far ones lie in front of both.
    for name, values in (("mild", both), ("far", population.outliers("far"))):
        axes.stairs(np.histogram(values, edges)[0] / highest, edges, fill=True, color=BEYOND[name])
        axes.vlines(population.outliers(name), -0.11, -0.02, color=BEYOND[name], linewidth=THIN)
    axes.set_yticks([0, 1], labels=["0", f"{highest:,}"])


def _draw_strip(axes: Axes, population: Population) -> None:
    beyond = {name: population.outliers(name) for name in BEYOND}
    positive = positive_part(population.values)
    inside = positive[~np.isin(positive, np.concatenate([*beyond.values()]))]
    for values, colour in ((inside, INSIDE), *((beyond[name], BEYOND[name]) for name in BEYOND)):
        axes.plot(values, np.full(values.size, 0.45), "o", color=colour, alpha=0.7, markersize=6)
    axes.set_yticks([])


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


def write_labels(
    figure: Figure, axes: Axes, population: Population, labels: Sequence[Label], em: float
) -> None:
    """Write labels above the drawing, the largest on top, each to the left of its own line.

    The line of a larger value then passes to the right of the labels of smaller ones.
    """
    width, height = axes.bbox.size
    row = 0
    for label in labels:
        place = axes.transAxes.inverted().transform(axes.transData.transform((label.value, 0)))[0]
        room = layout.widest(label.lines, em)
        left = min(max(place * width - room - 0.4 * em, 0.3 * em), width - room)
        first = 1 - layout.LINE * em * (row + 0.5) / height
        axes.plot(
            [place, place],
            [0, first],
            color=BEYOND[population.severity_of(label.value)],
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
