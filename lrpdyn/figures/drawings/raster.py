"""Changes of every sample in every transition, with what lies beyond the fences."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas import layout, maps, saving, words
from lrpdyn.figures.canvas.curve_axes import add_key, key_lines
from lrpdyn.figures.canvas.look import DEFAULT_LOOK, PAGE, Look
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.request import Request
from lrpdyn.figures.run_data import PATHOLOGY, about_of, flags_of
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series

#: Names of that many samples are all written, one below the other; more share the height.
MOST_NAMES, HEIGHT = 32, 40.0
#: Few samples fill this height, in em: a title above less would be most of the figure.
LEAST_HEIGHT = 9.0
#: The part of the width that names may have.
OF_NAMES = 0.4
#: More cells than this along a side are drawn as the largest of neighbours.
MOST_CELLS = 512
MARKERS = {"mild": ("o", "none"), "far": ("o", "white"), "pathology": ("X", "white")}
NAMES = {
    "mild": "unusual",
    "far": "extreme",
    "pathology": "pathology at that step",
}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A place that is marked: mild or far in the middle of a cell, a pathology at its left end.

    `column` counts transitions, `row` samples, in the order in which they are drawn.
    """

    column: int
    row: int
    kind: str


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw the change of every sample in every transition."""
    (run,) = runs
    phases = run.outliers.get("phases") or {"borders": []}
    draw_raster(
        path,
        *raster_of(run, request.samples),
        about=about_of(run),
        borders=[border["step"] for border in phases["borders"]],
        look=request.look,
    )


def raster_of(
    run: RunFolder, samples: Sequence[int] | None
) -> tuple[Array, list[tuple[int, int]], list[int], list[Mark]]:
    """Return changes (T, N), the ends of T transitions, N samples (all by default), and marks.

    Raises
    ------
    UsageError
        The run has no transitions.
    """
    if not len(run.transitions):
        raise UsageError(
            f"--kind raster: {run.path} has {len(run.steps)} finite steps, and no transition; "
            "compute more checkpoints"
        )
    series = table_series(run)
    change = series.changes()
    assert change is not None
    ends = series.pairs()
    chosen = list(range(change.shape[1])) if samples is None else list(samples)
    begins = {before: place for place, (before, _) in enumerate(ends)}
    places = {**begins, ends[-1][1]: len(ends)}
    marks = []
    report = {**run.outliers, "steps": []}
    for row, sample in enumerate(chosen):
        flags = flags_of(report, sample)
        found = [(begins.get(step), kind) for step, kind in flags.transitions.items()]
        found += [(places.get(step), PATHOLOGY) for step in flags.steps]
        marks += [Mark(column=at, row=row, kind=kind) for at, kind in found if at is not None]
    return change[:, chosen], ends, chosen, marks


@saving.own_settings()
def draw_raster(
    path: str | os.PathLike[str],
    change: Array,
    ends: Sequence[tuple[int, int]],
    samples: Sequence[int],
    marks: Sequence[Mark],
    *,
    about: words.About,
    borders: Sequence[int] = (),
    look: Look = DEFAULT_LOOK,
) -> None:
    """Draw the change of each sample (rows) in each transition (columns).

    `change` is (T, N); `ends` says from and to which step each of T transitions leads, `samples`
    are the numbers of the N samples, `borders` steps at which a phase begins.
    """
    width, em = look.page(PAGE, PAGE)
    transitions, count = change.shape
    stride = -(-count // MOST_NAMES)
    names = [
        layout.shortened_name(about.sample(sample), OF_NAMES * width, em)
        for sample in samples[::stride]
    ]
    left = layout.widest(names, em) + 1.2 * em
    across = round(width - left - 2.5 * em)
    each = max(1.5, LEAST_HEIGHT / count) if count <= MOST_NAMES else HEIGHT / count
    down = round(each * em * count)
    each = down / count
    scale = maps.scale_of(
        f"change: the sum of {words.DIFFERENCE} over the map", change, look, signed=False
    )
    merged = [-(-length // MOST_CELLS) for length in change.shape]
    shown = largest_of_neighbours(change, *merged)
    handles, keys = _key(marks, borders)
    what = f"{count} samples in {transitions:,} transitions"
    notes = [*about.notes([ends[0][0], ends[-1][1]]), scale.sentence]
    if not marks:
        notes.append("Nothing is flagged.")
    if max(merged) > 1:
        notes.append(f"Each cell is the largest of {merged[0]} transitions x {merged[1]} samples.")
    caption = words.Caption(
        title="Change of each sample during training",
        line=[f"rule {about.rule}", what],
        notes=notes,
    )
    heading = layout.wrap(scale.heading, width - 1.2 * em, em)
    of_key = key_lines(keys, width - left - 0.6 * em, em) * layout.LINE
    body_height = maps.bar_height(heading, em) + (5.1 + of_key) * em + down
    head = layout.header_of(caption, look, width, em, body_height / em)
    top = (0.9 + head.height) * em
    body = top + maps.bar_height(heading, em) + 0.5 * em
    figure = layout.new_figure(width, top + body_height, look.dpi)
    head.write(figure)
    maps.add_bar(figure, heading, scale, 0.6 * em, top, width - 1.2 * em, em)
    add_key(figure, left, body + down + 4.2 * em, width - left - 0.6 * em, handles, keys, em)
    # The last of merged cells may hold fewer, and reaches as far beyond the end as they are fewer.
    wide = across * len(shown) * merged[0] / transitions
    high = down * shown.shape[1] * merged[1] / count
    maps.show_map(figure, shown.T, scale, left, body, wide, high)
    first = body + each / 2 - stride * each / 2
    layout.add_names(figure, left - 0.4 * em, first, stride * each, names, em)
    cell = across / transitions
    steps = [before for before, _ in ends] + [ends[-1][1]]
    labels = words.narrow_labels(steps, about.unit)
    add_steps(figure, labels.texts, left, body + down, cell, em)
    what = labels.note or about.unit
    # In the middle of the map, unless that is too far to the right, next to long names.
    middle = min(left + across / 2, width - 0.6 * em - layout.text_width(what, em) / 2)
    layout.add_text(figure, middle, body + down + 2.6 * em, [what], em, align="center")
    _add_marks(figure, marks, left, body, cell, each)
    for border in borders:
        at = left + cell * sum(before < border for before, _ in ends)
        for style, colour, line_width in (("-", "white", 2), ("--", "black", 1)):
            maps.backdrop(figure).plot(
                [at, at], [body, body + down], style, color=colour, linewidth=line_width
            )
    saving.save_figure(figure, path, caption, look)


def largest_of_neighbours(change: Array, along: int, across: int) -> Array:
    """Return the largest of every `along` transitions and `across` samples of (T, N); NaN if none."""
    transitions, count = change.shape
    padded = np.full((-(-transitions // along) * along, -(-count // across) * across), -np.inf)
    padded[:transitions, :count] = np.where(np.isfinite(change), change, -np.inf)
    blocks = padded.reshape(len(padded) // along, along, -1, across)
    largest = blocks.max(axis=(1, 3))
    return np.where(np.isfinite(largest), largest, np.nan)


def _key(marks: Sequence[Mark], borders: Sequence[int]) -> tuple[list[Line2D], list[str]]:
    """Return the legend's entries, of the marks that are drawn."""
    drawn = [kind for kind in MARKERS if kind in {mark.kind for mark in marks}]
    handles = [
        Line2D([], [], linestyle="none", marker=MARKERS[kind][0], markeredgecolor="black",
               markerfacecolor="black" if MARKERS[kind][1] == "white" else "none", markersize=5)
        for kind in drawn
    ]  # fmt: skip
    if borders:
        handles.append(Line2D([], [], linestyle="--", color="black", linewidth=1))
    return handles, [NAMES[kind] for kind in drawn] + (["a phase begins"] if borders else [])


def add_steps(
    figure: Figure, labels: Sequence[str], left: float, top: float, cell: float, em: float
) -> None:
    """Write the steps below cells, the first of them at `left`, as many as there is room for."""
    stride = math.ceil((layout.widest(labels, em) + em) / cell)
    backdrop = maps.backdrop(figure)
    for place in range(0, len(labels), stride):
        at = left + place * cell
        backdrop.plot([at, at], [top, top + 0.4 * em], color="black", linewidth=0.8)
        layout.add_text(figure, at, top + 0.6 * em, [labels[place]], em, align="center")


def _add_marks(
    figure: Figure, marks: Sequence[Mark], left: float, top: float, cell: float, each: float
) -> None:
    points = 72 / figure.dpi
    size = float(np.clip(0.6 * min(cell, each) * points, 2.5, 7))
    backdrop = maps.backdrop(figure)
    for kind, (marker, inside) in MARKERS.items():
        places = [mark for mark in marks if mark.kind == kind]
        across = [
            left + cell * (mark.column + (0.5 if kind != "pathology" else 0.0)) for mark in places
        ]
        down = [top + each * (mark.row + 0.5) for mark in places]
        for around, edge in ((2.0, "black"), (0.0, "white")):
            backdrop.plot(
                across, down, linestyle="none", marker=marker, markersize=size,
                markerfacecolor=inside if not around else "none", markeredgecolor=edge,
                markeredgewidth=1.2 + around, label=kind if not around else "_outline",
            )  # fmt: skip
