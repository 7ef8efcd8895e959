"""One sample's relevance along training, and what changed from one checkpoint to the next."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.figures.canvas import features, layout, maps, saving, style, words
from lrpdyn.figures.canvas.look import DEFAULT_LOOK, Look
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.request import Request
from lrpdyn.figures.run_data import NO_FLAGS, PATHOLOGY, Flags, about_of, flags_of, maps_of
from lrpdyn.figures.step_choice import load_maps, places_of
from lrpdyn.run.reader import RunFolder

MOST_FEATURES = 512
COLUMNS = 8


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One row of the strip: (T, H, W) or (T, F) values, their scale, and the lines above each."""

    values: Array
    scale: maps.Scale
    names: Sequence[Sequence[str]]
    flagged: Sequence[bool]


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """Where the steps lie, in pixels; em is the size of the text."""

    em: float
    width: float
    left: float
    pitch: float
    name_width: float
    body_height: float
    dpi: int


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw the relevance of a sample and its differences at some steps."""
    (run,) = runs
    draw_filmstrip(
        path,
        run.mapped("observations")[request.sample],
        run.steps,
        maps_of(run, request.sample),
        about=about_of(run),
        sample=request.sample,
        wanted=request.steps,
        flags=flags_of(run.outliers, request.sample),
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
    look: Look = DEFAULT_LOOK,
) -> None:
    """Draw relevance at some steps, and below each its difference to the checkpoint that follows.

    Flat observations get two pictures of features by steps instead.

    The observation is (C, H, W), or flat (F,). `steps` are all finished ones, in order; `relevance`
    loads the map of one, shaped as the observation: once for each shown or following one. `wanted`
    are the steps to show: by default eight, the first, the last, what `flags` has, and others
    evenly spaced in the logarithm of the training.

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
    header = [
        f"Relevance of {about.sample(sample)} over {words.count_of(steps)}",
        *about.lines(steps),
        "; ".join(part for part in (f"steps shown: {len(chosen)} of {len(steps):,}", labels.note,
                                    _flag_note(shown, flags)) if part),
    ]  # fmt: skip
    of_sums = ", of sums over channels, which alone are kept" if loaded.sums_alone else ""
    rows = (
        _row(f"relevance R_i, {about.value_unit}", loaded.maps, look, labels.texts[: len(shown)],
             [PATHOLOGY if step in flags.steps else "" for step in shown], signed=True),
        _row(f"|R_i - R_i+1|, to the next checkpoint{of_sums}, {about.value_unit}",
             loaded.differences, look, [f"→ {label}" for label in labels.texts[len(shown) :]],
             [flags.transitions.get(steps[index], "") for index in followed], signed=False),
    )  # fmt: skip
    draw = _image_figure if observation.ndim == 3 else _flat_figure
    saving.save_figure(draw(observation, header, rows, look.dpi), path)


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
    look: Look,
    labels: Sequence[str],
    marks: Sequence[str],
    *,
    signed: bool,
) -> _Row:
    return _Row(
        values=values,
        scale=maps.scale_of(what, values, look, signed=signed),
        names=[*zip(labels, marks, strict=True)] if any(marks) else [[label] for label in labels],
        flagged=[*map(bool, marks)],
    )


def _flag_note(shown: Sequence[int], flags: Flags) -> str:
    flagged = {*flags.transitions, *flags.steps}
    if not flagged:
        return "none is flagged"
    left_out = len(flagged - set(shown))
    return "what is flagged is marked" + (f", {left_out:,} more are not shown" if left_out else "")


def _framed(
    header: Sequence[str],
    rows: Sequence[_Row],
    frame: _Frame,
    draw_row: Callable[[Figure, _Row, float], None],
) -> Figure:
    """Write all texts and colour bars, and let draw_row fill each row from its top, in pixels."""
    em = frame.em
    inner = frame.width - 1.2 * em
    head = layout.header_of(header, frame.width, em)
    rows = [row for row in rows if len(row.values)]
    headings = [layout.wrap(row.scale.heading, inner, em) for row in rows]
    above = [
        layout.LINE * em * (len(heading) + len(row.names[0]))
        for heading, row in zip(headings, rows, strict=True)
    ]
    below = frame.body_height + 3.6 * em
    top = (1.2 + head.height) * em
    figure = layout.new_figure(frame.width, top + sum(above) + len(rows) * below, frame.dpi)

    head.write(figure)
    for row, heading in zip(rows, headings, strict=True):
        names_top = layout.add_text(figure, 0.6 * em, top, heading, em)
        for column, lines in enumerate(row.names):
            middle = frame.left + column * frame.pitch + frame.name_width / 2
            layout.add_text(figure, middle, names_top, lines, em, align="center")
        body_top = names_top + layout.LINE * em * len(row.names[0])
        draw_row(figure, row, body_top)
        bar_top = body_top + frame.body_height + 0.5 * em
        bar = layout.add_panel(figure, 3 * em, bar_top, frame.width - 6 * em, 0.7 * em)
        maps.add_colour_bar(figure, bar, row.scale, em)
        top = body_top + below
    return figure


def _widest_name(rows: Sequence[_Row], em: float) -> int:
    names = [line for row in rows for lines in row.names for line in lines]
    return int(layout.widest(names, em) + 0.4 * em)


def _image_figure(
    observation: Array, header: Sequence[str], rows: Sequence[_Row], dpi: int
) -> Figure:
    columns = len(rows[0].values) + 1
    target = min(336, max(168, 1512 / columns)) * dpi / 150
    height, panel_width = layout.panel_size(observation.shape[1], observation.shape[2], target)
    cell = max(panel_width, round(0.9 * dpi))
    # Margins take 1.2 em, and the gap after each column .4 em.
    margins = 1.2 + 0.4 * columns
    em = max(columns * cell / (layout.EMS_IN_PAGE - margins), layout.smallest_em(dpi))
    # Long names widen the columns rather than meet, and few columns do not swell the text.
    em = min(em, max(cell / 6.5, layout.smallest_em(dpi)))
    cell = max(cell, _widest_name(rows, em))
    gap = 0.4 * em
    first = 0.6 * em
    frame = _Frame(
        em=em,
        width=columns * cell + margins * em,
        left=first + cell + gap,
        pitch=cell + gap,
        name_width=cell,
        body_height=height,
        dpi=dpi,
    )
    picture = style.displayed_observations(observation[np.newaxis])[0]
    inset = (cell - panel_width) // 2

    def draw_row(figure: Figure, row: _Row, top: float) -> None:
        if row is rows[0]:
            above = top - layout.LINE * em * len(row.names[0])
            layout.add_text(figure, first + cell / 2, above, ["observed"], em, align="center")
            maps.show_map(figure, picture, maps.GREY, first + inset, top, panel_width, height)
        for column, (values, flagged) in enumerate(zip(row.values, row.flagged, strict=True)):
            left = frame.left + column * frame.pitch + inset
            colour = style.FLAGGED if flagged else maps.FRAME
            maps.show_map(figure, values, row.scale, left, top, panel_width, height, frame=colour)

    header = [*header, style.channel_note(len(observation))]
    return _framed(header, rows, frame, draw_row)


def _flat_figure(
    observation: Array, header: Sequence[str], rows: Sequence[_Row], dpi: int
) -> Figure:
    # Of a single step, all there is is its relevance.
    last = rows[-1 if len(rows[1].values) else 0]
    drawn = features.most_changed_features(np.abs(last.values), MOST_FEATURES)
    columns, count = len(rows[0].values), len(drawn)
    width = 10 * dpi
    em = width / layout.EMS_IN_PAGE
    # Up to 32 features are named one by one, more share 40 em.
    each = round(1.3 * em) if count <= 32 else max(2, round(40 * em / count))
    stride = -(-int(1.3 * em) // each)
    names = features.feature_names(drawn[::stride], observation)
    left = layout.widest(names, em) + 1.2 * em
    cell = max(int((width - left - 2 * em) / columns), _widest_name(rows, em))
    width = round(left + columns * cell + 2 * em)
    frame = _Frame(
        em=em,
        width=width,
        left=left,
        pitch=cell,
        name_width=cell,
        body_height=count * each,
        dpi=dpi,
    )

    def draw_row(figure: Figure, row: _Row, top: float) -> None:
        across = len(row.values) * cell
        maps.show_map(
            figure, row.values[:, drawn].T, row.scale, left, top, across, frame.body_height
        )
        first = top + (each - stride * each) / 2
        layout.add_names(figure, left - 0.4 * em, first, stride * each, names, em)

    what = f"{count} of {observation.size:,} features, those that changed most"
    if count == observation.size:
        what = f"{count} features" + (", each with its observed value" if count <= 32 else "")
    return _framed([*header, what], rows, frame, draw_row)
