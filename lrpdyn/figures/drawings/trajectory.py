"""A run over its steps: the training curve, the changes, and what is checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lrpdyn.figures.canvas import layout, saving, style, words
from lrpdyn.figures.canvas.curve_axes import legend_above, tidy
from lrpdyn.figures.canvas.look import DEFAULT_LOOK, Look
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.request import Request
from lrpdyn.figures.run_data import about_of, flags_of
from lrpdyn.files.names import Names, called
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import TableSeries, table_series
from lrpdyn.run.training_curve import Curve

WIDTH, PANEL_HEIGHT = 7.2, 1.25
#: Room left and right of the panels for the numbers at their axes, in em.
LEFT, RIGHT = 5.6, 5.0
#: Room for the line and the gaps of an entry of a legend, in em.
ENTRY = 4.6
FEW_STEPS = 60
#: Units that are drawn, at most.
MOST_UNITS = 7


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Lines over the same steps.

    `steps` are (S,); `lines`, by name, (S,) with NaN where there is no value; `marked` are places
    in `steps` whose value in the first line is out of the ordinary; `band` is the lower and upper
    end, (S,) each, of what lies around it. `right` is a line with its own axis at the right.
    `stepwise` values hold until the next step, as the number of a unit does.
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

    `borders`: a phase begins. `flagged`: a transition that lies beyond a fence leads there.
    `wrong`: something is wrong by its own criterion. `note` is why there are no phases; empty where
    there are.
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


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw what is known over the steps, as curves."""
    (run,), count = runs, len(runs[0].mapped("observations"))
    samples, about = request.samples, about_of(run)
    of = words.count_note(count, count)
    if samples is not None:
        listed = (called(about.names, "samples", sample, word="") for sample in samples)
        of = f"sample{'s' if len(samples) > 1 else ''} {', '.join(listed)}"
    draw_trajectory(
        path,
        panels_of(run, samples, request.curve),
        about=about,
        samples=of,
        marks=marks_of(run, samples),
        look=request.look,
    )


def panels_of(run: RunFolder, samples: Sequence[int] | None, curve: Curve | None) -> list[Panel]:
    """Return what is known over the steps of a run, of some samples or of all.

    The training curve where it is given; regions, where the run has any; score and preferred unit;
    change of the relevance next to that of the prediction; distance from the first map; entropy; what
    the maps depend on; checks.

    Raises
    ------
    RunError
        Some samples are requested, and the tables of the run are by step.
    """
    series = table_series(run, samples)
    steps, curves = series.steps, series.curves()
    panel = partial(Panel, steps=steps)
    found = [
        panel(
            title=title,
            lines={n.removeprefix(begin): v for n, v in curves.items() if n.startswith(begin)},
        )
        for begin, title in (
            ("share_per_random_", "share of |R| in each region, over that of random networks"),
            ("effect_", "effect of painting the region over, on the prediction"),
        )
    ]
    if curve is not None:
        found.insert(0, panel(title=f"training curve: {curve.source}", lines={"": curve.at(steps)}))
    found += [
        panel(
            title=f"score{series.typical}{series.shaded}",
            lines={"": series.median("score")},
            band=series.band("score"),
        ),
        _units(series, run.manifest.get("names", {})),
        panel(
            title=f"change into the step{series.typical}",
            lines={"relevance, sum of |R_i - R_i+1|": curves["change"]},
            marked=np.flatnonzero(np.isin(steps, marks_of(run, samples).flagged)).tolist(),
            right={"prediction (right)": curves["prediction_change"]},
        ),
        panel(
            title=f"distance from the first map, sum of |R_i - R_0|{series.average}",
            lines={"": series.mean("distance_from_first")},
        ),
        panel(
            title=f"entropy of |R|, nats{series.average}",
            lines={"this run": curves["entropy"], "random networks": series.mean("entropy_random")},
        ),
        _dependence(run),
    ]
    known = series.relevance_to_score()
    if known is not None:
        found.append(
            panel(
                title=f"checks: relevance for each unit of the score{series.typical}",
                lines={"sum(R) / score": known[0]},
                right={"sum|R| / |score| (right)": known[1]},
            )
        )
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
    right = {name: values for name, values in panel.right.items() if np.isfinite(values).any()}
    return replace(panel, lines=lines, right=right, marked=panel.marked if lines else ())


def _units(series: TableSeries, names: Names) -> Panel:
    """Return the share of samples that prefer each unit; else the preferred unit."""
    shares = series.shares_of_units()
    if shares is not None:
        drawn = sorted(list(shares)[:MOST_UNITS])
        left_out = (
            f", the {len(drawn)} of {len(shares)} most preferred"
            if len(shares) > len(drawn)
            else ""
        )
        title = f"share of samples that prefer a unit{left_out}"
        lines = {called(names, "units", unit): shares[unit] for unit in drawn}
        return Panel(title=title, steps=series.steps, lines=lines)
    unit, share = series.preferred_unit()
    if share is None:
        return Panel(title="preferred unit", steps=series.steps, lines={"": unit}, stepwise=True)
    return Panel(
        title="most common of the preferred units",
        steps=series.steps,
        lines={"unit": unit},
        right={"share of samples (right)": share},
        stepwise=True,
    )


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
        title="what the maps depend on: cosine, first, middle and last step",
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
    steps = np.concatenate([panel.steps for panel in panels])
    low, high = float(steps.min()), float(steps.max())
    margin = 0.01 * (high - low) or 0.5
    for number, (panel, lines, over) in enumerate(zip(panels, titles, above, strict=True)):
        layout.add_text(figure, 0.6 * em, top, lines, em)
        axes = layout.add_panel(figure, LEFT * em, top + over, inner, height)
        _draw(axes, panel, marks, _columns(panel, inner, em), em)
        axes.set_xlim(low - margin, high + margin)
        axes.tick_params(labelbottom=number == len(panels) - 1)
        top += over + height + 1.0 * em
    layout.add_text(figure, LEFT * em + inner / 2, top + 1.2 * em, [about.unit], em, align="center")
    saving.save_figure(figure, path)


def _columns(panel: Panel, width: float, em: float) -> int:
    """Return how many entries of the legend fit into a row."""
    if not panel.names:
        return 1
    return max(1, int(width / (layout.widest(panel.names, em) + ENTRY * em)))


def _rows(panel: Panel, width: float, em: float) -> int:
    return -(-len(panel.names) // _columns(panel, width, em))


def _draw(axes: Axes, panel: Panel, marks: Marks, columns: int, em: float) -> None:
    points = layout.points(em, axes.figure.dpi)
    handles: list[Line2D] = []
    sides = [(axes, panel.lines)]
    if panel.right:
        sides.append((axes.twinx(), panel.right))
    for side, lines in sides:
        for name, values in lines.items():
            handles.append(_line(side, panel, name, values, len(handles)))
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
