"""A run over its steps: the training curve, the changes, and what is checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas import layout, saving, style, words
from lrpdyn.figures.canvas.curve_axes import add_key, key_lines, tidy
from lrpdyn.figures.canvas.look import DEFAULT_LOOK, PAGE, Look
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.request import Request
from lrpdyn.figures.run_data import about_of, flags_of
from lrpdyn.files.names import Names, called
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import TableSeries, table_series
from lrpdyn.run.training_curve import Curve

#: The height of a panel in em, that of one of many, which have one page, and the width of a figure that
#: has two of them abreast.
PANEL_HEIGHT, LEAST_HEIGHT, TWO_ABREAST = 9.0, 4.5, 45.0
#: Room left of a panel for its numbers, right of it, and below it, in em.
LEFT, RIGHT, BELOW = 5.0, 1.0, 1.2
FEW_STEPS = 60
#: Units that are drawn, at most.
MOST_UNITS = 7


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Lines over the same steps.

    `name` is as in `PANELS`, `title` stands above, and `note` is what the caption adds to it. `steps`
    are (S,); `lines`, by name, (S,) with NaN where there is no value; `marked` are places in `steps`
    whose value in the first line is out of the ordinary; `band` is the lower and upper end, (S,)
    each, of what lies around it. `stepwise` values are the numbers of units, and hold until the next
    step.
    """

    name: str
    title: str
    steps: Array
    lines: Mapping[str, Array]
    note: str = ""
    marked: Sequence[int] = ()
    band: tuple[Array, Array] | None = None
    stepwise: bool = False

    @property
    def names(self) -> list[str]:
        """The entries of the legend, where it needs one."""
        return [*self.lines] if len(self.lines) > 1 else []


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What is marked through all panels, at steps.

    `borders`: a phase begins. `flagged`: a transition that lies beyond a fence leads there.
    `wrong`: something is wrong by its own criterion. `note` is why there are no phases; empty where
    there are.
    """

    borders: Sequence[int] = ()
    flagged: Sequence[int] = ()
    wrong: Sequence[int] = ()
    note: str = ""

    def missing(self) -> str:
        """Say what is not marked, for there is none."""
        borders = "" if self.borders else f"no phases: {self.note}"
        flagged = "" if self.flagged else "no transition is flagged"
        wrong = "" if self.wrong else "no pathologies"
        return "; ".join(part for part in (borders, flagged, wrong) if part)

    def key(self) -> dict[str, Line2D]:
        """Return the legend's entries by what they mean."""
        found = {}
        if self.borders:
            found["a phase begins"] = Line2D([], [], **BORDER)
        if self.flagged:
            found["after an unusual or extreme change"] = Line2D(
                [], [], **FLAG, marker="o", markersize=6, fillstyle="none"
            )
        if self.wrong:
            found["pathology"] = Line2D([], [], **WRONG)
        return found


#: How each is drawn.
BORDER: dict[str, Any] = {"color": "0.6", "linewidth": 0.8, "linestyle": "--"}
FLAG: dict[str, Any] = {"color": style.FLAGGED, "linewidth": 0.8, "linestyle": ":"}
WRONG: dict[str, Any] = {
    "color": style.FLAGGED, "linestyle": "none", "marker": "v", "markersize": 4,
}  # fmt: skip
NO_MARKS = Marks()


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw what is known over the steps, as curves."""
    (run,), count = runs, len(runs[0].mapped("observations"))
    samples, about = request.samples, about_of(run)
    of = words.count_note(count, count)
    if samples is not None:
        listed = (called(about.names, "samples", sample, word="") for sample in samples)
        of = f"sample{'s' if len(samples) > 1 else ''} {', '.join(listed)}"
    panels = panels_of(run, samples, request.curve)
    there = [panel.name for panel in panels]
    absent = [name for name in request.panels or () if name not in there]
    if absent:
        raise UsageError(
            f"--panels {absent[0]}: {run.path} has nothing to draw there; it has {', '.join(there)}"
        )
    draw_trajectory(
        path,
        [panel for panel in panels if request.panels is None or panel.name in request.panels],
        about=about,
        samples=of,
        marks=marks_of(run, samples),
        look=request.look,
    )


def panels_of(run: RunFolder, samples: Sequence[int] | None, curve: Curve | None) -> list[Panel]:
    """Return what is known over the steps of a run, of some samples or of all.

    They are in the order of `PANELS`; those that hold no number are left out.

    Raises
    ------
    RunError
        Some samples are requested, and the tables of the run are by step.
    """
    series = table_series(run, samples)
    steps, curves = series.steps, series.curves()
    panel = partial(Panel, steps=steps)
    typical, average = (said.removeprefix(", ") for said in (series.typical, series.average))
    found = [
        panel(
            name=name,
            title=title,
            lines={n.removeprefix(begin): v for n, v in curves.items() if n.startswith(begin)},
            note=note,
        )
        for name, begin, title, note in (
            ("regions", "share_per_random_", f"share of {words.SIZE} over that of random networks",
             "the share of the relevance in each region"),
            ("effects", "effect_", "effect of painting a region over", "on the prediction"),
        )
    ]  # fmt: skip
    if curve is not None:
        title = f"training curve: {curve.source}"
        found.insert(0, panel(name="curve", title=title, lines={"": curve.at(steps)}))
    found += [
        panel(
            name="score",
            title="score",
            lines={"": series.median("score")},
            band=series.band("score"),
            note=f"{typical}{series.shaded}",
        ),
        *_units(series, run.manifest.get("names", {})),
        panel(
            name="change",
            title=f"change of relevance into the step, {words.SUM} {words.DIFFERENCE}",
            lines={"": curves["change"]},
            marked=np.flatnonzero(np.isin(steps, marks_of(run, samples).flagged)).tolist(),
            note=typical,
        ),
        panel(
            name="prediction",
            title="change of the prediction into the step",
            lines={"": curves["prediction_change"]},
            note=typical,
        ),
        panel(
            name="distance",
            title=f"distance from the first map, {words.SUM} {words.FIRST}",
            lines={"": series.mean("distance_from_first")},
            note=average,
        ),
        panel(
            name="entropy",
            title=f"entropy of {words.SIZE}, nats",
            lines={"this run": curves["entropy"], "random networks": series.mean("entropy_random")},
            note=average,
        ),
        _dependence(run),
    ]
    known = series.relevance_to_score()
    if known is not None:
        total, size = known
        title = f"{words.SUM} R over the score"
        found.append(panel(name="sums", title=title, lines={"": total}, note=typical))
        if not np.allclose(total, size, equal_nan=True):  # else no relevance is negative
            title = f"{words.SUM} {words.SIZE} over |score|"
            found.append(panel(name="sizes", title=title, lines={"": size}, note=typical))
    return [panel for panel in map(_known, found) if panel.lines]


def marks_of(run: RunFolder, samples: Sequence[int] | None) -> Marks:
    """Return phases, flagged transitions and pathologies of a run, of all samples or the only one."""
    phases = run.outliers.get("phases") or {"borders": [], "why": "not looked for"}
    sample = samples[0] if samples is not None and len(samples) == 1 else None
    flags = flags_of(run.outliers, sample)
    from_steps, to_steps = table_series(run).ends()
    return Marks(
        borders=[border["step"] for border in phases["borders"]],
        flagged=np.unique(to_steps[np.isin(from_steps, list(flags.transitions))]).tolist(),
        wrong=sorted(flags.steps),
        note=phases["why"],
    )


def _known(panel: Panel) -> Panel:
    """Leave out lines that hold no number."""
    lines = {name: values for name, values in panel.lines.items() if np.isfinite(values).any()}
    return replace(panel, lines=lines, marked=panel.marked if lines else ())


def _units(series: TableSeries, names: Names) -> list[Panel]:
    """Return the share of samples that prefer each unit; else the preferred unit, and its share."""
    panel = partial(Panel, name="units", steps=series.steps)
    shares = series.shares_of_units()
    if shares is not None:
        drawn = sorted(list(shares)[:MOST_UNITS])
        left_out = f"the {len(drawn)} of {len(shares)} units that are preferred most"
        lines = {called(names, "units", unit): shares[unit] for unit in drawn}
        note = left_out if len(shares) > len(drawn) else ""
        return [panel(title="share of samples that prefer a unit", lines=lines, note=note)]
    unit, share = series.preferred_unit()
    if share is None:
        return [panel(title="preferred unit", lines={"": unit}, stepwise=True)]
    return [
        panel(title="most common of the preferred units", lines={"": unit}, stepwise=True),
        panel(title="share of samples that prefer the most common unit", lines={"": share}),
    ]


def _dependence(run: RunFolder) -> Panel:
    """Return how alike the maps are to those that they should not be alike to."""
    checked = run.manifest["checks"].get("dependence") or []
    names = {
        "random": "to random networks",
        "random_to_random": "random to random",
        "best_to_worst": "to the worst unit",
        "upper_layers": "to new upper layers",
    }
    lines = {
        name: np.array([entry[key]["median"] for entry in checked], dtype=np.float64)
        for key, name in names.items()
    }
    steps = np.array([entry["step"] for entry in checked], dtype=np.int64)
    return Panel(
        name="dependence",
        title="what the maps depend on (cosine)",
        note="at the first, middle and last step",
        steps=steps,
        lines=lines,
    )


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

    `samples` says in words which samples the values are of; `marks` are in all panels.
    """
    width, em = look.page(PAGE, PAGE)
    columns = 2 if width > TWO_ABREAST * em and len(panels) > 1 else 1
    each = width / columns
    inner = each - (LEFT + RIGHT) * em
    steps = np.concatenate([panel.steps for panel in panels])
    low, high = int(steps.min()), int(steps.max())
    notes = [f"{panel.title}: {panel.note}" for panel in panels if panel.note]
    missing = marks.missing()
    caption = words.Caption(
        title="What changes during training",
        line=[f"rule {about.rule}", samples],
        notes=[
            f"Rule {about.rule}. Question: {about.question}.",
            f"{words.span_of([low, high], about.unit)}; {samples}. Values are in {about.value_unit}.",
            *(words.sentence(note) for note in notes),
            *([words.sentence(missing)] if missing else []),
        ],
    )
    titles = [layout.wrap(panel.title, each - 1.2 * em, em) for panel in panels]
    above = [
        (layout.LINE * (len(lines) + key_lines(panel.names, inner, em)) + 0.4) * em
        for lines, panel in zip(titles, panels, strict=True)
    ]
    heads = [max(above[at : at + columns]) for at in range(0, len(panels), columns)]
    key = marks.key()
    of_key = key_lines([*key], width - 1.2 * em, em) * layout.LINE
    around = of_key + 3.1 + sum(heads) / em + BELOW * len(heads)
    head = layout.header_of(caption, look, width, em, around + PANEL_HEIGHT * len(heads))
    room = (look.page_height - 0.9 - head.height - around) / len(heads)
    height = min(max(room, LEAST_HEIGHT), PANEL_HEIGHT) * em
    rows = [head + height + BELOW * em for head in heads]
    body = (of_key + 3.1) * em + sum(rows)
    key_top = (0.9 + head.height) * em
    first = key_top + (of_key + 0.3) * em
    figure = layout.new_figure(width, key_top + body, look.dpi)
    head.write(figure)
    add_key(figure, 0.6 * em, key_top, width - 1.2 * em, [*key.values()], [*key], em)
    margin = 0.01 * (high - low) or 0.5
    for number, (panel, lines, over) in enumerate(zip(panels, titles, above, strict=True)):
        left = number % columns * each
        top = first + sum(rows[: number // columns]) + heads[number // columns]
        below = layout.add_text(figure, left + 0.6 * em, top - over, lines, em)
        axes = layout.add_panel(figure, left + LEFT * em, top, inner, height)
        handles = _draw(axes, panel, marks, em)
        add_key(figure, left + LEFT * em, below, inner, handles, panel.names, em)
        axes.set_xlim(low - margin, high + margin)
        axes.tick_params(labelbottom=number + columns >= len(panels))
        if number + columns >= len(panels):
            under = top + height + 2.3 * em
            middle = left + LEFT * em + inner / 2
            layout.add_text(figure, middle, under, [about.unit], em, align="center")
    saving.save_figure(figure, path, caption, look)


def _draw(axes: Axes, panel: Panel, marks: Marks, em: float) -> list[Line2D]:
    """Draw a panel; return the entries of its legend."""
    handles: list[Line2D] = []
    for name, values in panel.lines.items():
        handles.append(_line(axes, panel, name, values, len(handles)))
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
        axes.axvline(border, **BORDER, label="phase")
    for step in marks.flagged:
        axes.axvline(step, **FLAG, label="flagged")
    if marks.wrong:
        axes.plot(marks.wrong, np.ones(len(marks.wrong)), **WRONG,
                  transform=axes.get_xaxis_transform(), clip_on=False, label="pathology")  # fmt: skip
    tidy(axes, layout.points(em, axes.figure.dpi), across=5, down=4)
    if panel.stepwise:
        axes.locator_params(axis="y", integer=True, min_n_ticks=1)
    return handles


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
