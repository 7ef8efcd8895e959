"""One sample's relevance along training, and what changed from one checkpoint to the next."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
from matplotlib.figure import Figure

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.figures.canvas import features, layout, maps, saving, style, words
from lrpdyn.figures.canvas.look import DEFAULT_LOOK, PAGE, Look, ScaleBy
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.request import Request, scales_by
from lrpdyn.figures.run_data import (
    NO_FLAGS,
    NO_OTHERS,
    PATHOLOGY,
    Flags,
    about_of,
    flags_of,
    maps_of,
    other_samples,
)
from lrpdyn.figures.step_choice import Loaded, load_maps, places_of
from lrpdyn.files.names import Names
from lrpdyn.run.reader import RunFolder

MOST_FEATURES = 512
COLUMNS = 8
#: Widths of a column in em, where the figure has a width: what does not fit stands below.
LEAST_CELL, LARGEST_CELL = 5.2, 14.0


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One row of the strip: (T, H, W) or (T, F) values, their scale, and the lines above each."""

    values: Array
    scale: maps.Scale
    names: Sequence[Sequence[str]]
    flagged: Sequence[bool]


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """Where the steps lie, in pixels; em is the size of the text.

    `abreast` columns fill a line, of which `before` in the first one are no steps.
    """

    em: float
    width: float
    left: float
    pitch: float
    name_width: float
    body_height: float
    abreast: int
    before: int

    def lines(self, count: int) -> list[range]:
        """Return the steps of each line, of so many."""
        ends = [0, *range(self.abreast - self.before, count, self.abreast), count]
        return [range(first, last) for first, last in pairwise(ends)]

    def at(self, step: int) -> float:
        """Return the left end of the column of a step."""
        return self.left + (step + self.before) % self.abreast * self.pitch


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw the relevance of a sample and its differences at some steps."""
    (run,) = runs
    by = scales_by(request, "filmstrip", get_args(ScaleBy))
    draw_filmstrip(
        path,
        run.mapped("observations")[request.sample],
        run.steps,
        maps_of(run, request.sample),
        about=about_of(run),
        sample=request.sample,
        wanted=request.steps,
        flags=flags_of(run.outliers, request.sample),
        own_scales=by == "step",
        others=other_samples(run, request, COLUMNS) if by == "all" else {},
        look=request.look,
    )


@saving.own_settings()
def draw_filmstrip(
    path: str | os.PathLike[str],
    observation: Array,
    steps: Sequence[int],
    relevance: Callable[[int], Array],
    *,
    about: words.About,
    sample: int,
    wanted: Sequence[int] | None = None,
    flags: Flags = NO_FLAGS,
    own_scales: bool = False,
    others: Mapping[int, Loaded] = NO_OTHERS,
    look: Look = DEFAULT_LOOK,
) -> None:
    """Draw relevance at some steps, and below each its difference to the checkpoint that follows.

    Flat observations get two pictures of features by steps instead.

    The observation is (C, H, W), or flat (F,). `steps` are all finished ones, in order; `relevance`
    loads the map of one, shaped as the observation: once for each shown or following one. `wanted`
    are the steps to show: by default eight, the first, the last, what `flags` has, and others
    evenly spaced in the logarithm of the training. Each map has a scale of its own (`own_scales`), or
    all share one, with the maps of `others`, by sample.

    Raises
    ------
    ObservationError
        The observation is neither (C, H, W) nor (F,).
    UsageError
        There are no steps.
    RunError
        A map is not shaped as the observation.
    """
    _check(observation, steps)
    chosen = places_of(steps, wanted, COLUMNS, flags.order())
    loaded = load_maps(steps, chosen, relevance, observation.shape)
    followed = chosen[: len(loaded.differences)]
    shown = [steps[index] for index in chosen]
    labels = words.narrow_labels([*shown, *(steps[index + 1] for index in followed)], about.unit)
    names = labels.texts[: len(shown)], [f"→ {label}" for label in labels.texts[len(shown) :]]
    marks = (
        [PATHOLOGY if step in flags.steps else "" for step in shown],
        [words.SEVERITIES.get(flags.transitions.get(steps[index], ""), "") for index in followed],
    )
    of_sums = " of sums over channels, which alone are kept" if loaded.sums_alone else ""
    rows = (
        _row(f"relevance {words.RELEVANCE}", loaded.maps, [one.maps for one in others.values()], look,
             names[0], marks[0], signed=True, own=own_scales),
        _row(f"{words.DIFFERENCE}, change to the next checkpoint{of_sums}", loaded.differences,
             [one.differences for one in others.values()], look, names[1], marks[1], signed=False,
             own=own_scales),
    )  # fmt: skip
    images = observation.ndim == 3
    numbers = ", ".join(map(str, sorted({sample, *others})))
    notes = [
        words.sentence(
            f"{len(chosen)} of {len(steps):,} steps are shown; {_flag_note(shown, flags)}"
        ),
        *([words.sentence(labels.note)] if labels.note else []),
        *(row.scale.sentence for row in rows if len(row.values)),
        *([f"Samples {numbers} share these scales."] if others else []),
        *([words.sentence(style.channel_note(len(observation)))] if images else []),
    ]
    caption = words.Caption(
        title=f"Relevance of {about.sample(sample)} during training",
        line=[*about.line(steps), f"{len(chosen)} steps shown"],
        notes=[*about.notes(steps), *notes],
    )
    draw_figure = _image_figure if images else partial(_flat_figure, names=about.names)
    figure, caption = draw_figure(observation, caption, rows, look)
    saving.save_figure(figure, path, caption, look)


def _check(observation: Array, steps: Sequence[int]) -> None:
    if observation.ndim not in (1, 3) or observation.size == 0:
        raise ObservationError(
            "filmstrip: expected an observation of shape (C, H, W) or (F,) with something in it, "
            f"found {observation.shape}; choose another sample"
        )
    if not steps:
        raise UsageError("filmstrip: expected at least one step, found none; compute the run first")


def _row(
    what: str,
    values: Array,
    others: Sequence[Array],
    look: Look,
    labels: Sequence[str],
    marks: Sequence[str],
    *,
    signed: bool,
    own: bool,
) -> _Row:
    if others:
        together = np.concatenate([values, *others])
        scale, limits = maps.scale_of(what, together, look, signed=signed), []
    else:
        found = maps.scaled(what, values, look, signed=signed, own=own and len(values) > 0)
        values, scale, limits = found.values, found.scale, found.limits
    below = [marks] if any(marks) else []
    below += [[f"±{limit}" if signed else f"≤{limit}" for limit in limits]] if limits else []
    return _Row(
        values=values,
        scale=scale,
        names=[*zip(labels, *below, strict=True)],
        flagged=[*map(bool, marks)],
    )


def _flag_note(shown: Sequence[int], flags: Flags) -> str:
    flagged = {*flags.transitions, *flags.steps}
    if not flagged:
        return "none is flagged"
    left_out = len(flagged - set(shown))
    return "what is flagged is framed and named" + (
        f", {left_out:,} more are not shown" if left_out else ""
    )


def _framed(
    caption: words.Caption,
    rows: Sequence[_Row],
    frame: _Frame,
    look: Look,
    draw_line: Callable[[Figure, _Row, float, range], None],
) -> Figure:
    """Write all texts and colour bars, and let draw_line fill each line from its top, in pixels."""
    em = frame.em
    inner = frame.width - 1.2 * em
    rows = [row for row in rows if len(row.values)]
    headings = [layout.wrap(row.scale.heading, inner, em) for row in rows]
    pitches = [layout.LINE * em * len(row.names[0]) + frame.body_height + 0.3 * em for row in rows]
    heights = [
        layout.LINE * em * len(heading) + len(frame.lines(len(row.values))) * pitch + 3.4 * em
        for heading, row, pitch in zip(headings, rows, pitches, strict=True)
    ]
    head = layout.header_of(caption, look, frame.width, em, sum(heights) / em)
    top = (0.9 + head.height) * em
    figure = layout.new_figure(frame.width, top + sum(heights), look.dpi)

    head.write(figure)
    for row, heading, pitch, height in zip(rows, headings, pitches, heights, strict=True):
        below = layout.add_text(figure, 0.6 * em, top, heading, em)
        for line in frame.lines(len(row.values)):
            for step in line:
                middle = frame.at(step) + frame.name_width / 2
                layout.add_text(figure, middle, below, row.names[step], em, align="center")
            draw_line(figure, row, below + layout.LINE * em * len(row.names[0]), line)
            below += pitch
        bar = layout.add_panel(figure, 3 * em, below + 0.3 * em, frame.width - 6 * em, 0.7 * em)
        maps.add_colour_bar(figure, bar, row.scale, em)
        top += height
    return figure


def _widest_name(rows: Sequence[_Row], em: float) -> int:
    names = [line for row in rows for lines in row.names for line in lines]
    return int(layout.widest(names, em) + 0.4 * em)


def _image_figure(
    observation: Array, caption: words.Caption, rows: Sequence[_Row], look: Look
) -> tuple[Figure, words.Caption]:
    columns = len(rows[0].values) + 1
    high, wide = observation.shape[1:]
    if look.width is None:
        target = min(336, max(168, 1512 / columns)) * look.dpi / 150
        height, panel_width = layout.panel_size(high, wide, target)
        cell = max(panel_width, round(0.9 * look.dpi))
        # Margins take 1.2 em, and the gap after each column .4 em.
        margins = 1.2 + 0.4 * columns
        em = max(columns * cell / (PAGE * 72 / look.font_size - margins), look.em)
        # Long names widen the columns rather than meet, and few columns do not swell the text.
        em = min(em, max(cell / 6.5, look.em))
        cell = max(cell, _widest_name(rows, em))
        abreast, width = columns, columns * cell + margins * em
    else:
        width, em = look.page(look.width, look.width)
        least = max(LEAST_CELL * em, _widest_name(rows, em)) + 0.4 * em
        lines = -(-columns // max(1, int((width - 0.8 * em) / least)))
        abreast = -(-columns // lines)
        cell = int((width - 0.8 * em) / abreast - 0.4 * em)
        # Few steps leave room at the right.
        cell = min(cell, round(LARGEST_CELL * em))
        height, panel_width = layout.panel_within(high, wide, cell)
    gap = 0.4 * em
    first = 0.6 * em
    frame = _Frame(em=em, width=width, left=first, pitch=cell + gap, name_width=cell,
                   body_height=height, abreast=abreast, before=1)  # fmt: skip
    picture = style.displayed_observations(observation[np.newaxis])[0]
    inset = (cell - panel_width) // 2

    def draw_line(figure: Figure, row: _Row, top: float, line: range) -> None:
        if row is rows[0] and line.start == 0:
            above = top - layout.LINE * em * len(row.names[0])
            layout.add_text(figure, first + cell / 2, above, ["observed"], em, align="center")
            maps.show_map(figure, picture, maps.GREY, first + inset, top, panel_width, height)
        for step in line:
            colour = style.FLAGGED if row.flagged[step] else maps.FRAME
            left = frame.at(step) + inset
            maps.show_map(
                figure, row.values[step], row.scale, left, top, panel_width, height, frame=colour
            )

    return _framed(caption, rows, frame, look, draw_line), caption


def _flat_figure(
    observation: Array, caption: words.Caption, rows: Sequence[_Row], look: Look, names: Names
) -> tuple[Figure, words.Caption]:
    # Of a single step, all there is is its relevance.
    last = rows[-1 if len(rows[1].values) else 0]
    drawn = features.most_changed_features(np.abs(last.values), MOST_FEATURES)
    columns, count = len(rows[0].values), len(drawn)
    width, em = look.page(10, PAGE)
    # Up to 32 features are named one by one, more share 40 em.
    each = round(1.3 * em) if count <= 32 else max(2, round(40 * em / count))
    stride = -(-int(1.3 * em) // each)
    labels = features.feature_names(drawn[::stride], observation, names)
    left = layout.widest(labels, em) + 1.2 * em
    least = _widest_name(rows, em)
    lines = 1
    if look.width is not None:
        lines = -(-columns // max(1, int((width - left - 0.6 * em) / least)))
    abreast = -(-columns // lines)
    cell = max(int((width - left - 0.6 * em) / abreast), least)
    if look.width is None:
        width = round(left + abreast * cell + 0.6 * em)
    frame = _Frame(em=em, width=width, left=left, pitch=cell, name_width=cell,
                   body_height=count * each, abreast=abreast, before=0)  # fmt: skip

    def draw_line(figure: Figure, row: _Row, top: float, line: range) -> None:
        values, across = row.values[line.start : line.stop, drawn].T, len(line) * cell
        maps.show_map(figure, values, row.scale, left, top, across, frame.body_height)
        first = top + (each - stride * each) / 2
        layout.add_names(figure, left - 0.4 * em, first, stride * each, labels, em)

    what = f"{count} of {observation.size:,} features, those that changed most"
    if count == observation.size:
        what = f"All {count} features" + (", each with its observed value" if count <= 32 else "")
    caption = replace(caption, notes=[*caption.notes, f"{what}."])
    return _framed(caption, rows, frame, look, draw_line), caption
