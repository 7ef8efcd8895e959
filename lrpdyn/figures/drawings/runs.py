"""Many runs: their maps over training, curves of their groups, and a plane of the runs and their basins."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from lrpdyn.comparison.basin_words import short_basin_line
from lrpdyn.comparison.basins import Basins, basins_of
from lrpdyn.comparison.belonging import SETTINGS, differences, need_maps_of_the_same, why_not
from lrpdyn.comparison.comparison import letters
from lrpdyn.comparison.groups import group_names
from lrpdyn.comparison.map_similarity import map_similarity
from lrpdyn.comparison.paired_steps import PairedSteps, last_part, paired_steps
from lrpdyn.comparison.plane import plane
from lrpdyn.comparison.rows import Row, read_rows
from lrpdyn.figures.canvas import features, layout, maps, saving, style, words
from lrpdyn.figures.canvas.curve_axes import add_key, key_lines, tidy
from lrpdyn.figures.canvas.grid import LOWEST_ROW, Column, columns_abreast, draw_grid, page_of
from lrpdyn.figures.canvas.look import COLUMN, DEFAULT_LOOK, Look
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.request import Request
from lrpdyn.figures.run_data import maps_of
from lrpdyn.files.names import NO_NAMES, Names
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series

#: Runs whose maps are drawn, groups that have a colour, and points of training, at most.
MOST_MAPS, MOST_GROUPS, MOST_POINTS = 8, 12, 7
#: Fewer runs need no plane to lie in.
FEWEST_IN_PLANE = 3
#: In em: the height of curves and what is below them, the width that a panel needs, and a feature's height.
CURVES, BELOW, WIDE = 9.0, 4.0, 22.0
EACH = 1.3
#: The marks of runs by their basin, from 1 on (no question has more), of those in none, and of unknown ones.
BASINS, IN_NONE, UNKNOWN = "os^DvPp*", "x", "o"
Curve = tuple[Array, Array]


@dataclass(frozen=True, kw_only=True)
class Band:
    """A curve over a group of runs: their median, the least and the most of them, (S,) at places `at`."""

    group: str
    at: Array
    middle: Array
    low: Array
    high: Array


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Curves of one kind."""

    title: str
    bands: Sequence[Band]


@dataclass(frozen=True, kw_only=True)
class Plane:
    """Runs in a plane: points (R, 2), the name, group and basin of each, and the share of distances kept.

    Basins count from 1 in each question; 0 is a run in none of them, None one of which it is not known.
    """

    points: Array
    names: Sequence[str]
    groups: Sequence[str]
    basins: Sequence[int | None]
    kept: float


@dataclass(frozen=True, kw_only=True)
class Maps:
    """The maps of one sample that are drawn.

    `observation` is (C, H, W) or (F,); `values` (R, P, H, W) or (R, P, F) are of R runs, called `names`, at P
    points of training, called `points`; `features` has the names of features.
    """

    observation: Array
    values: Array
    names: Sequence[str]
    points: Sequence[str]
    features: Names = field(default_factory=dict)


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw many runs, ordered by group.

    Raises
    ------
    UsageError
        Their observations differ, or they cannot be grouped so.
    RunError
        A table or a map of a run cannot be read.
    """
    rows = read_rows([run.path for run in runs])
    need_maps_of_the_same(runs, rows, "--kind runs")
    groups = group_names(rows, request.by)
    first = list(dict.fromkeys(groups))
    order = sorted(range(len(runs)), key=lambda place: first.index(groups[place]))
    runs, rows = [runs[place] for place in order], [rows[place] for place in order]
    groups = [groups[place] for place in order]
    names = letters(len(runs))
    same = len({(row["unit"], row["step_list"]) for row in rows}) == 1
    chosen = evenly(groups, MOST_MAPS)
    paired = paired_steps([run.steps for run in runs])
    points = max(2, min(MOST_POINTS, columns_abreast(request.look) - 1))
    shown = _maps(runs, chosen, names, groups, paired, points, request.sample, same=same)
    panels, refused = _panels(runs, rows, groups, same=same)
    found, said = None, list[str]()
    if len(runs) >= FEWEST_IN_PLANE:
        basins = basins_of(runs, rows)
        found = _plane(runs, rows, groups, names, paired, basins)
        said = _said_of_basins(basins, rows, names)
    unit = runs[0].manifest["unit"] if same else "% of training"
    draw_runs(
        path, shown, panels, found,
        caption=_caption(rows, groups, names, chosen, request, paired, [*refused, *said]),
        unit=unit, look=request.look,
    )  # fmt: skip


def _plane(
    runs: Sequence[RunFolder], rows: Sequence[Row], groups: Sequence[str], names: Sequence[str],
    paired: PairedSteps, basins: Sequence[Basins],
) -> Plane:  # fmt: skip
    part = last_part(paired)
    last = replace(paired, steps=paired.steps[:, part], shares=paired.shares[part])
    points, kept = plane(map_similarity(runs, last).mean(axis=0))
    known = {
        path: basin
        for one in basins
        for path, basin in zip(one.runs, one.basin_of, strict=True)
        if one.silhouette is not None
    }
    return Plane(points=points, names=names, groups=groups, kept=kept,
                 basins=[known.get(row["path"]) for row in rows])  # fmt: skip


def _said_of_basins(
    basins: Sequence[Basins], rows: Sequence[Row], names: Sequence[str]
) -> list[str]:
    """Return a sentence on the runs of each question, and one on runs that were compared with no other."""
    short = {row["path"]: name for row, name in zip(rows, names, strict=True)}
    said = [short_basin_line(one, short) for one in basins]
    compared = {path for one in basins for path in one.runs}
    alone = [name for row, name in zip(rows, names, strict=True) if row["path"] not in compared]
    if alone:
        said.append(
            f"No basin is known of {', '.join(alone)}: no other training was asked the same, or another of "
            "these runs is of the same training."
        )
    return said


def evenly(groups: Sequence[str], most: int) -> list[int]:
    """Return the places of at most `most` runs, rising: the first of every group, then the second.

    >>> evenly(["a", "a", "a", "b", "c"], 4)
    [0, 1, 3, 4]
    """
    by_group = [
        [n for n, group in enumerate(groups) if group == one] for one in dict.fromkeys(groups)
    ]
    in_turn = chain.from_iterable(zip_longest(*by_group))
    return sorted([place for place in in_turn if place is not None][:most])


def _maps(
    runs: Sequence[RunFolder], chosen: Sequence[int], names: Sequence[str], groups: Sequence[str],
    paired: PairedSteps, count: int, sample: int, *, same: bool,
) -> Maps:  # fmt: skip
    every = len(paired.shares)
    points = np.unique(np.linspace(0, every - 1, min(count, every)).round().astype(int))
    observation = np.asarray(runs[0].mapped("observations")[sample])
    values = []
    for place in chosen:
        read = maps_of(runs[place], sample)
        of_run = [
            np.asarray(read(step), np.float64) for step in paired.steps[place, points].tolist()
        ]
        values.append([style.sum_channels(one) if one.ndim == 3 else one for one in of_run])
    shares = [f"{100 * share:.0f} %" for share in paired.shares[points]]
    return Maps(
        observation=observation,
        values=np.array(values),
        names=[_row_name(groups[place], names[place]) for place in chosen],
        points=words.step_labels(paired.steps[0, points].tolist()) if same else shares,
        features=runs[0].manifest.get("names", NO_NAMES),
    )


def _row_name(group: str, letter: str) -> str:
    """Return the name of a row, as long as the lowest row is high."""
    room = LOWEST_ROW - layout.text_width(f" {letter}", 1)
    return f"{layout.shortened(group, room, 1)} {letter}"


def _change(run: RunFolder) -> Curve | None:
    series = table_series(run)
    change = series.median_changes()
    finite = change[np.isfinite(change)]
    typical = float(np.median(finite)) if finite.size else 0.0
    return (series.ends()[1], change / (typical or 1.0)) if len(change) else None


def _faithfulness(run: RunFolder) -> Curve | None:
    found = (run.manifest["checks"].get("faithfulness") or {"steps": []})["steps"]
    known = [one for one in found if one["abpc"].get("rule") is not None]
    curve = np.array([(one["step"], one["abpc"]["rule"]) for one in known], np.float64).reshape(
        -1, 2
    )
    return (curve[:, 0], curve[:, 1]) if len(curve) else None


def _score(run: RunFolder) -> Curve | None:
    series = table_series(run)
    return series.steps, series.median("score")


#: Titles of the panels, the column of the table of runs whose needs they share, and their curves.
_PANELS: list[tuple[str, str, Callable[[RunFolder], Curve | None]]] = [
    ("change into the step over the run's median", "change", _change),
    ("faithfulness, median over samples", "faithfulness_last", _faithfulness),
    ("score, median over samples", "score", _score),
]


def _panels(
    runs: Sequence[RunFolder], rows: Sequence[Row], groups: Sequence[str], *, same: bool
) -> tuple[list[Curves], list[str]]:
    """Return the panels of curves, and which groups have none and why, in sentences."""
    panels, refused = [], []
    for title, column, curve_of in _PANELS:
        bands = []
        for group in list(dict.fromkeys(groups))[:MOST_GROUPS]:
            inside = [place for place, name in enumerate(groups) if name == group]
            why = why_not([rows[place] for place in inside], column)
            if why is not None:
                refused.append(f"No {title.split(',')[0]} of {group}: {why}.")
                continue
            known = [(runs[place], curve_of(runs[place])) for place in inside]
            curves = [(run, curve) for run, curve in known if curve is not None]
            if curves:
                bands.append(_band(group, curves, same=same))
        if bands:
            panels.append(Curves(title=title, bands=bands))
    return panels, refused


def _band(group: str, curves: Sequence[tuple[RunFolder, Curve]], *, same: bool) -> Band:
    """Return the median and the ends of curves at the same steps, or the same share of training."""
    at = curves[0][1][0]
    table = [values for _, (_, values) in curves]
    if any(not np.array_equal(steps, at) for _, (steps, _) in curves):
        # Each run's last step makes its whole training, where it was not measured there too.
        last = [run.steps[-1] for run, _ in curves]
        shares = [steps / max(end, 1) for end, (_, (steps, _)) in zip(last, curves, strict=True)]
        points = min(shares, key=len)
        near = [np.abs(own[:, None] - points).argmin(axis=0) for own in shares]
        table = [values[places] for values, places in zip(table, near, strict=True)]
        at = points * max(curves[0][0].steps[-1], 1)
    stacked = np.stack(table)
    if not same:
        at = 100 * at / max(curves[0][0].steps[-1], 1)
    return Band(group=group, at=at, middle=np.median(stacked, axis=0), low=stacked.min(axis=0),
                high=stacked.max(axis=0))  # fmt: skip


def _caption(
    rows: Sequence[Row], groups: Sequence[str], names: Sequence[str], chosen: Sequence[int],
    request: Request, paired: PairedSteps, refused: Sequence[str],
) -> words.Caption:  # fmt: skip
    count, of_groups = len(rows), list(dict.fromkeys(groups))
    inside = {
        one: [n for n, group in zip(names, groups, strict=True) if group == one]
        for one in of_groups
    }
    line = [f"maps of {len(chosen)} of {count:,} runs"] if len(chosen) < count else []
    if len(of_groups) > MOST_GROUPS:
        line.append(f"curves of {MOST_GROUPS} of {len(of_groups):,} groups")
    line += [f"{one}: {_span(members)}" for one, members in inside.items()]
    apart = (
        f" (at most {100 * paired.most_apart:.0f} % of training apart)" if paired.most_apart else ""
    )
    settings = [
        f"Other {SETTINGS[one.setting]}: "
        + "; ".join(f"{value} ({len(members)})" for value, members in list(one.runs.items())[:4])
        for one in differences(rows, [])
        if one.setting not in ("rule", "step_list")
    ]
    paths = [
        f"{name}: {row['path']}, {row['rule']}." for name, row in zip(names, rows, strict=True)
    ]
    return words.Caption(
        title=f"{count:,} runs by {request.by}, sample {request.sample}",
        line=line,
        notes=[
            *paths[:MOST_MAPS],
            *([f"And {count - MOST_MAPS:,} more runs."] if count > MOST_MAPS else []),
            f"Runs are compared at {paired.how}{apart}.",
            *(f"{text}." for text in settings),
            "Curves: median over the runs of a group; shaded: least to most of them.",
            *refused,
        ],
    )


def _span(names: Sequence[str]) -> str:
    """Return names that follow each other in short.

    >>> _span(["A", "B", "C"])
    'A-C'
    """
    return names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"


@saving.own_settings()
def draw_runs(
    path: str | os.PathLike[str],
    shown: Maps,
    panels: Sequence[Curves],
    found: Plane | None,
    *,
    caption: words.Caption,
    unit: str = "steps",
    look: Look = DEFAULT_LOOK,
) -> None:
    """Draw the maps of runs, each from -limit to limit of its own, then curves of groups and the plane."""
    own = maps.scaled("relevance", shown.values, look, signed=True, own=True)
    limits = ", ".join(f"{n} {limit}" for n, limit in zip(shown.names, own.limits, strict=True))
    scale = replace(own.scale, note=f"each run has its own scale; limits: {limits}")
    caption = replace(caption, notes=[*caption.notes, scale.sentence])
    if found is not None:
        says = (
            "Plane: classical scaling of the runs; squared distances are 2 (1 - cosine) of the maps of the "
            "last quarter of training, mean over samples; the plane keeps "
            f"{100 * found.kept:.0f} % of their sum."
        )
        caption = replace(caption, notes=[*caption.notes, says])
    titles = [panel.title for panel in panels]
    if found is not None:
        titles.append(
            f"runs by likeness of maps; the plane keeps {100 * found.kept:.0f} % of squared distances"
        )
    present = [band.group for panel in panels for band in panel.bands]
    names = list(dict.fromkeys([*(found.groups if found else ()), *present]))[:MOST_GROUPS]
    flat = shown.observation.ndim == 1
    shape = shown.values.shape[2:]
    width, em = _flat_page(look) if flat else page_of(len(shown.points) + 1, shape, look)
    abreast = max(1, min(len(titles), int(width / em / WIDE)))
    each = width / abreast
    wrapped = [layout.wrap(title, each - 1.2 * em, em) for title in titles]
    bands = [wrapped[at : at + abreast] for at in range(0, len(wrapped), abreast)]
    heights = [layout.LINE * max(map(len, band)) + 0.4 + CURVES + BELOW for band in bands]
    marks = _marks(found) if found is not None else {}
    heights[-1] += key_lines(list(marks), each - 1.2 * em, em) * layout.LINE
    below = key_lines(names, width - 1.2 * em, em) * layout.LINE + 1.6 + sum(heights)
    if flat:
        figure, top = _features(shown, own.values, scale, caption, look, below)
    else:
        observed = style.displayed_observations(shown.observation[None])
        columns = [
            Column(
                heading="observed", values=np.repeat(observed, len(shown.names), 0), scale=maps.GREY
            )
        ]
        columns += [
            Column(heading=point, values=own.values[:, place], scale=scale)
            for place, point in enumerate(shown.points)
        ]
        figure, top, em = draw_grid(columns, shown.names, caption, look, ems_below=below)
    handles = [Line2D([], [], **_line(place)) for place in range(len(names))]
    top = add_key(figure, 0.6 * em, top + 0.6 * em, width - 1.2 * em, handles, names, em) + 0.6 * em
    for number, (band, height) in enumerate(zip(bands, heights, strict=True)):
        body = top + (layout.LINE * max(map(len, band)) + 0.4) * em
        for place, lines in enumerate(band, number * abreast):
            left = place % abreast * each
            layout.add_text(figure, left + 0.6 * em, top, lines, em)
            if place < len(panels):
                _add_curves(figure, panels[place], names, left, body, each, unit, em)
            elif found is not None:
                _add_plane(figure, found, names, left, body, each, em)
                under = body + (CURVES + 2.2) * em
                shapes = [Line2D([], [], color="0.3", **mark) for mark in marks.values()]
                add_key(figure, left + 0.6 * em, under, each - 1.2 * em, shapes, list(marks), em)
        top += height * em
    saving.save_figure(figure, path, caption, look)


def _line(place: int) -> dict[str, Any]:
    """Return how the line of a group is drawn, which tells it from others."""
    colours, styles = style.LINE_COLOURS, style.LINE_STYLES
    return {
        "color": colours[place % len(colours)],
        "linestyle": styles[place // len(colours)],
        "linewidth": 1.4,
    }


def _mark(basin: int | None) -> dict[str, Any]:
    """Return how a run is marked whose basin this is."""
    shape = UNKNOWN if basin is None else BASINS[basin - 1] if basin else IN_NONE
    return {"linestyle": "", "marker": shape, "fillstyle": "none" if basin is None else "full"}


def _marks(found: Plane) -> dict[str, dict[str, Any]]:
    """Return the marks of the runs in a plane by what they mean, for a legend."""
    known = sorted({basin for basin in found.basins if basin})
    marks = {f"basin {basin}" if known[-1] > 1 else "one basin": _mark(basin) for basin in known}
    if 0 in found.basins:
        marks["in no basin"] = _mark(0)
    if None in found.basins:
        marks["basin not known"] = _mark(None)
    return marks


def _add_curves(
    figure: Figure, panel: Curves, names: Sequence[str], left: float, top: float, width: float,
    unit: str, em: float,
) -> None:  # fmt: skip
    axes = layout.add_panel(figure, left + 4.4 * em, top, width - 5.8 * em, CURVES * em)
    for band in panel.bands:
        line, marker = _line(names.index(band.group)), "." if len(band.at) < 30 else ""
        axes.fill_between(band.at, band.low, band.high, color=line["color"], alpha=0.2, linewidth=0)
        axes.plot(band.at, band.middle, marker=marker, **line)
    tidy(axes, layout.points(em, figure.dpi), across=max(2, int(width / em / 6)), down=4)
    below = top + (CURVES + 2.1) * em
    layout.add_text(
        figure, left + 4.4 * em + axes.bbox.width / 2, below, [unit], em, align="center"
    )


def _add_plane(
    figure: Figure,
    found: Plane,
    names: Sequence[str],
    left: float,
    top: float,
    width: float,
    em: float,
) -> None:
    """Draw runs as the marks of their basins; their letters where these do not overlap."""
    axes = layout.add_panel(figure, left + 1.6 * em, top, width - 3.2 * em, (CURVES + 1.6) * em)
    axes.set_xticks([])
    axes.set_yticks([])
    size = 0.5 * layout.points(em, figure.dpi)
    for point, group, basin in zip(found.points, found.groups, found.basins, strict=True):
        colour = _line(names.index(group))["color"] if group in names else "0.6"
        axes.plot(*point, color=colour, markersize=size, **_mark(basin))
    # Both axes have one scale, and room around the points: matplotlib's own equal scales take the room away.
    middle = (found.points.max(axis=0) + found.points.min(axis=0)) / 2
    sizes = np.array([axes.bbox.width, axes.bbox.height])
    scale = float((np.ptp(found.points, axis=0) / sizes).max()) or 1.0
    axes.set_xlim(*(middle[0] + scale * sizes[0] * np.array([-0.6, 0.6])))
    axes.set_ylim(*(middle[1] + scale * sizes[1] * np.array([-0.6, 0.6])))
    places = axes.transData.transform(found.points)
    taken = [Bbox.from_bounds(x - 0.3 * em, y - 0.3 * em, 0.6 * em, 0.6 * em) for x, y in places]
    for name, (x, y) in zip(found.names, places, strict=True):
        wide, high = layout.text_width(name, em), layout.LINE * em
        corners = [(x + 0.4 * em, y), (x - 0.4 * em - wide, y), (x + 0.4 * em, y - high),
                   (x - 0.4 * em - wide, y - high)]  # fmt: skip
        boxes = [Bbox.from_bounds(*corner, wide, high) for corner in corners]
        free = [box for box in boxes if axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1)
                and axes.bbox.containsy(box.y0) and axes.bbox.containsy(box.y1)
                and not box.count_overlaps(taken)]  # fmt: skip
        if free:
            taken.append(free[0])
            layout.add_text(figure, free[0].x0, figure.bbox.height - free[0].y1, [name], em)


def _flat_page(look: Look) -> tuple[float, float]:
    return look.page(5.25, COLUMN)


def _features(
    shown: Maps,
    relative: Array,
    scale: maps.Scale,
    caption: words.Caption,
    look: Look,
    below: float,
) -> tuple[Figure, float]:
    """Draw a block of features by points of training for each run; return the figure and its free place."""
    width, em = _flat_page(look)
    strength = np.abs(relative).reshape(-1, relative.shape[-1])
    drawn = features.most_changed_features(strength, features.MOST_VALUES)
    count = relative.shape[-1]
    what = f"{len(drawn)} of {count:,} features" if len(drawn) < count else f"{count} features"
    over = f"{what}; a block for each run, its columns are {', '.join(shown.points)}."
    caption = replace(caption, notes=[*caption.notes, over])
    heading = layout.wrap(
        f"{scale.heading}: a block for each run, training goes right", width - 1.2 * em, em
    )
    bar, height = maps.bar_height(heading, em), len(drawn) * EACH * em
    body = bar + layout.LINE * em + height + below * em
    head = layout.header_of(caption, look, width, em, body / em)
    bar_top = (0.9 + head.height) * em
    figure = layout.new_figure(width, bar_top + body, look.dpi)
    head.write(figure)
    maps.add_bar(figure, heading, scale, 0.6 * em, bar_top, width - 1.2 * em, em)
    labels = features.feature_names(drawn, shown.observation, shown.features)
    left, top = layout.widest(labels, em) + 1.2 * em, bar_top + bar
    cell = (width - left - 0.8 * em) / len(shown.names)
    for place, name in enumerate(shown.names):
        middle = left + (place + 0.5) * cell
        layout.add_text(figure, middle, top, [name.split(" ")[-1]], em, align="center")
        values = relative[place][:, drawn].T
        maps.show_map(
            figure,
            values,
            scale,
            left + place * cell,
            top + layout.LINE * em,
            cell - 0.3 * em,
            height,
        )
    layout.add_names(figure, left - 0.4 * em, top + layout.LINE * em, EACH * em, labels, em)
    return figure, top + layout.LINE * em + height
