"""Runs on the same samples side by side: their dynamics, and their changes over training."""

from __future__ import annotations

import os
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrpdyn.comparison.comparison import compare
from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas import features, layout, maps, saving, style, words
from lrpdyn.figures.canvas.curve_axes import tidy
from lrpdyn.figures.canvas.grid import Column, draw_grid
from lrpdyn.figures.canvas.look import COLUMN, DEFAULT_LOOK, Look
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.request import Request
from lrpdyn.figures.run_data import flags_of
from lrpdyn.files.names import NO_NAMES, Names, called
from lrpdyn.run.question import rule_with_values
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series

MOST_RUNS, MOST_SAMPLES = 6, 4
#: Heights in em: of the curves, and of what is written around them; of a feature.
CURVES, AROUND, EACH = 9.0, 8.4, 1.3


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the runs.

    `label` says what sets it apart in short, `name` in full. `dynamics` are (N, C, H, W)
    or (N, F), of the samples that are drawn. `ends` and `change` are (T,) steps that
    transitions lead to, and the median over all samples of their change; `flagged` are
    places in `ends` that lie beyond a fence.
    """

    label: str
    name: str
    dynamics: Array
    ends: Array
    change: Array
    flagged: Sequence[int]


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw runs side by side."""
    samples = request.samples
    if samples is None:
        samples = range(min(MOST_SAMPLES, len(runs[0].mapped("observations"))))
    chosen = list(samples)
    sides, alike = sides_of(runs, chosen)
    draw_side_by_side(
        path,
        runs[0].mapped("observations")[chosen],
        sides,
        samples=chosen,
        alike=alike,
        unit=runs[0].manifest["unit"],
        names=runs[0].manifest.get("names", NO_NAMES),
        look=request.look,
    )


def sides_of(runs: Sequence[RunFolder], samples: Sequence[int]) -> tuple[list[Side], str]:
    """Return what a comparison draws of each run, and how alike their dynamics are, in words.

    Raises
    ------
    UsageError
        There are more than six runs, or their samples differ.
    """
    if len(runs) > MOST_RUNS:
        raise UsageError(
            f"--kind comparison: expected 2 to {MOST_RUNS} runs, found {len(runs)}; --kind runs draws any "
            "number"
        )
    found = compare(runs)
    letters = string.ascii_uppercase
    parts = [
        f"{'-'.join(letters[number] for number in pair['runs'])} "
        + ("unknown" if pair["cosine"] is None else f"{pair['cosine']:.2f}")
        for pair in found.pairs
    ]
    sides = []
    for run in runs:
        rule, series = rule_with_values(run.manifest), table_series(run)
        from_steps, to_steps = series.ends()
        flagged = list(flags_of(run.outliers, None).transitions)
        sides.append(
            Side(
                label=rule,
                name=f"{run.path.name}, rule {rule}; {run.question}",
                dynamics=run.mapped("dynamics")[list(samples)],
                ends=to_steps,
                change=series.median_changes(),
                flagged=np.flatnonzero(np.isin(from_steps, flagged)).tolist(),
            )
        )
    return sides, f"cosine of dynamics, median over samples: {', '.join(parts)}"


@saving.own_settings()
def draw_side_by_side(
    path: str | os.PathLike[str],
    observations: Array,
    sides: Sequence[Side],
    *,
    samples: Sequence[int],
    alike: str,
    unit: str = "steps",
    names: Names = NO_NAMES,
    look: Look = DEFAULT_LOOK,
) -> None:
    """Draw the dynamics of each run from 0 to its own limit, and the changes of all.

    The observations are (N, C, H, W) or (N, F), of the `samples` that are drawn; there are six
    `sides` at most. `alike` says in words how alike the runs are, `unit` what steps count, `names`
    what samples and features are called.
    """
    letters = string.ascii_uppercase[: len(sides)]
    flat = observations.ndim == 2
    shown = [side.dynamics if flat else style.sum_channels(side.dynamics) for side in sides]
    scales = [style.colour_scale(values) for values in shown]
    limits = [scale.limit for scale in scales]
    relative = [
        np.asarray(v, dtype=np.float64) / limit for v, limit in zip(shown, limits, strict=True)
    ]
    clipped = any(scale.clipped for scale in scales)
    note = ", ".join(f"{letter} {limit:.3g}" for letter, limit in zip(letters, limits, strict=True))
    ends = "limits, clipped at the 99.9 % quantile" if clipped else "largest values, not clipped"
    scale = maps.Scale(
        what="dynamics",
        colours=look.colours,
        limit=1.0,
        signed=False,
        clipped=clipped,
        note=f"the sum of {words.DIFFERENCE} over training, for each run from 0 to its own limit; "
        f"{ends}: {note}",
        own=True,
    )
    caption = words.Caption(
        title=f"{len(sides)} runs side by side",
        line=[f"{letter}: {side.label}" for letter, side in zip(letters, sides, strict=True)],
        notes=[
            *(f"{letter}: {side.name}." for letter, side in zip(letters, sides, strict=True)),
            scale.sentence,
            words.sentence(alike),
            "Ringed: extreme or unusual in its run.",
        ],
    )
    rows = [called(names, "samples", sample) for sample in samples]
    if flat:
        figure, bottom, em = _features(
            observations, relative, letters, rows, caption, scale, look, names
        )
    else:
        pictures = style.displayed_observations(observations)
        columns = [Column(heading="observed", values=pictures, scale=maps.GREY)]
        columns += [
            Column(heading=f"run {x}", values=v, scale=scale)
            for x, v in zip(letters, relative, strict=True)
        ]
        figure, bottom, em = draw_grid(columns, rows, caption, look, ems_below=CURVES + AROUND)
    _add_curves(figure, sides, letters, bottom + 0.6 * em, unit, em)
    saving.save_figure(figure, path, caption, look)


def _features(
    observations: Array,
    relative: Sequence[Array],
    letters: str,
    rows: Sequence[str],
    caption: words.Caption,
    scale: maps.Scale,
    look: Look,
    names: Names,
) -> tuple[Figure, float, float]:
    """Draw a map of features by runs for each sample; return the figure, its free place, em."""
    width, em = look.page(5.25, COLUMN)
    drawn = features.most_changed_features(np.concatenate(relative), features.MOST_VALUES)
    count = observations.shape[1]
    what = f"{len(drawn)} of {count:,} features" if len(drawn) < count else f"{count} features"
    caption = replace(caption, notes=[*caption.notes, f"{what}."])
    heading = layout.wrap(scale.heading, width - 1.2 * em, em)
    pitch = (len(drawn) * EACH + 2 * layout.LINE + 1.0) * em
    body = maps.bar_height(heading, em) + len(rows) * pitch + (CURVES + AROUND) * em
    head = layout.header_of(caption, look, width, em, body / em)
    bar_top = (0.9 + head.height) * em
    top = bar_top + maps.bar_height(heading, em)
    bottom = top + len(rows) * pitch
    figure = layout.new_figure(width, bar_top + body, look.dpi)
    head.write(figure)
    maps.add_bar(figure, heading, scale, 0.6 * em, bar_top, width - 1.2 * em, em)
    # So that "run A" fits above the columns.
    most = min(features.OF_NAMES, max(4.0, width / em - 7.0 - 3.2 * len(letters)))
    for row, name in enumerate(rows):
        labels = features.feature_names(drawn, observations[row], names, most)
        left = layout.widest(labels, em) + 1.2 * em
        cell = (width - left - 0.8 * em) / len(letters)
        shown = layout.shortened_name(name, width - left - 0.8 * em, em)
        above = layout.add_text(figure, left, top + row * pitch, [shown], em)
        for place, letter in enumerate(letters):
            middle = left + (place + 0.5) * cell
            layout.add_text(figure, middle, above, [f"run {letter}"], em, align="center")
        body = above + layout.LINE * em
        values = np.stack([of_run[row][drawn] for of_run in relative], axis=1)
        height = len(drawn) * EACH * em
        maps.show_map(figure, values, scale, left, body, cell * len(letters), height)
        layout.add_names(figure, left - 0.4 * em, body, EACH * em, labels, em)
    return figure, bottom, em


def _add_curves(
    figure: Figure, sides: Sequence[Side], letters: str, top: float, unit: str, em: float
) -> None:
    """Draw the changes of all runs, each over its own median."""
    width = figure.bbox.width
    what = "change into the step over the run's median, median over samples"
    below = layout.add_text(figure, 0.6 * em, top, layout.wrap(what, width - 1.2 * em, em), em)
    axes = layout.add_panel(figure, 4.0 * em, below + 1.6 * em, width - 5.6 * em, CURVES * em)
    for number, (letter, side) in enumerate(zip(letters, sides, strict=True)):
        _add_curve(axes, letter, side, number)
    points = layout.points(em, figure.dpi)
    axes.legend(
        prop={"family": "DejaVu Sans", "size": points}, frameon=False, ncols=len(sides),
        loc="lower left", bbox_to_anchor=(0, 1), borderpad=0, borderaxespad=0.2, columnspacing=1.0,
        handlelength=1.4,
    )  # fmt: skip
    tidy(axes, points, across=5, down=4)
    under = below + (1.6 + CURVES + 1.7) * em
    layout.add_text(figure, 4.0 * em + axes.bbox.width / 2, under, [unit], em, align="center")


def _add_curve(axes: Axes, letter: str, side: Side, number: int) -> None:
    finite = side.change[np.isfinite(side.change)]
    typical = float(np.median(finite)) if finite.size else 0.0
    values = side.change / (typical or 1.0)
    colour = style.LINE_COLOURS[number % len(style.LINE_COLOURS)]
    marker = "." if len(values) < 60 else ""
    axes.plot(side.ends, values, color=colour, marker=marker, linewidth=1.4, label=letter)
    chosen = list(side.flagged)
    if chosen:
        axes.plot(side.ends[chosen], values[chosen], "o", color=style.FLAGGED, markersize=9,
                  fillstyle="none", label="_flagged")  # fmt: skip
