"""One sample's relevance along training, and what changed from one checkpoint to the next."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure

from lrpdyn.errors import ObservationError
from lrpdyn.figures import features, layout, style
from lrpdyn.figures.style import Array
from lrpdyn.figures.transitions import choose_transitions, load_transitions

MOST_FEATURES = 512


@dataclass(frozen=True)
class _Row:
    """One row of the strip: (T, H, W) or (T, F) values and how they are coloured."""

    heading: str
    values: Array
    scale: style.ColourScale
    signed: bool

    @property
    def colours(self) -> str:
        return style.SIGNED_COLOURS if self.signed else style.COLOURS

    @property
    def low(self) -> float:
        return -self.scale.limit if self.signed else 0.0


@dataclass(frozen=True)
class _Strip:
    """What is said and shown, before any of it has a place."""

    header: list[str]
    labels: list[str]
    rows: tuple[_Row, _Row]


@dataclass(frozen=True)
class _Frame:
    """Where the transitions lie, in pixels; em is the size of the text."""

    em: float
    width: float
    left: float
    pitch: float
    name_width: float
    body_height: float
    dpi: int


def draw_filmstrip(
    path: str | os.PathLike[str],
    observation: Array,
    steps: Sequence[int],
    relevance: Callable[[int], Array],
    *,
    rule: str,
    question: str,
    sample: int,
    count: int = 8,
    dpi: int = 150,
    unit: str = "steps",
    value_unit: str = "units of the score",
) -> None:
    """Draw relevance at some steps above its difference to the step that follows each.

    Flat observations get two pictures of features by steps instead.

    Parameters
    ----------
    path
        Where the picture goes (.png or .pdf); replaced whole.
    observation, sample
        (C, H, W), or flat (F,), and its number.
    steps
        All finished steps, in order.
    relevance
        Loads the map of one step, shaped as the observation: once for each shown or following one.
    rule, question, unit, value_unit
        Words for the title: the LRP rule, what was explained, what steps count, and what
        relevance is measured in.
    count, dpi
        How many transitions are shown at most, and pixels to the inch.

    Raises
    ------
    ObservationError
        The observation is neither (C, H, W) nor (F,).
    UsageError
        There are fewer than two steps, or count is below one.
    RunError
        A map is not shaped as the observation.
    """
    _check(observation)
    chosen = choose_transitions(len(steps), count)
    maps, differences = load_transitions(steps, chosen, relevance, observation.shape)
    header = [
        f"Relevance of sample {sample} over {style.count_of(steps)}",
        f"{style.span_of(steps, unit)}; rule {rule}",
        question,
        f"transitions shown: {len(chosen)} of {len(steps) - 1:,}",
    ]
    ends = [step for index in chosen for step in (steps[index], steps[index + 1])]
    rows = (
        _row("relevance R_i", value_unit, maps, signed=True),
        _row("|R_i - R_i+1|, R_i+1 at the next checkpoint", value_unit, differences, signed=False),
    )
    strip = _Strip(header, style.step_labels(ends), rows)
    draw = _image_figure if observation.ndim == 3 else _flat_figure
    style.save_figure(draw(observation, strip, dpi), path)


def _check(observation: Array) -> None:
    if observation.ndim not in (1, 3) or observation.size == 0:
        raise ObservationError(
            "filmstrip: expected an observation of shape (C, H, W) or (F,) with something in it, "
            f"found {observation.shape}; choose another sample"
        )


def _row(what: str, value_unit: str, values: Array, *, signed: bool) -> _Row:
    scale = style.colour_scale(values)
    return _Row(f"{what}, {value_unit} ({scale.note})", values, scale, signed)


def _framed(
    strip: _Strip, frame: _Frame, draw_row: Callable[[Figure, _Row, float], None]
) -> Figure:
    """Write all texts and colour bars, and let draw_row fill each row from its top, in pixels."""
    em = frame.em
    inner = frame.width - 1.2 * em
    title, notes = layout.wrap_header(strip.header, inner, em)
    names = (
        [[label] for label in strip.labels[::2]],
        style.transition_labels(strip.labels, frame.name_width, em),
    )
    headings = [layout.wrap(row.heading, inner, em) for row in strip.rows]
    above = [
        layout.LINE * em * (len(heading) + len(row_names[0]))
        for heading, row_names in zip(headings, names, strict=True)
    ]
    below = frame.body_height + 3.6 * em
    top = (1.2 + layout.LINE * (len(title) + len(notes))) * em
    figure = layout.new_figure(frame.width, top + sum(above) + 2 * below, frame.dpi)

    layout.add_header(figure, title, notes, em)
    for row, heading, row_names in zip(strip.rows, headings, names, strict=True):
        names_top = layout.add_text(figure, 0.6 * em, top, heading, em)
        for column, lines in enumerate(row_names):
            middle = frame.left + column * frame.pitch + frame.name_width / 2
            layout.add_text(figure, middle, names_top, lines, em, align="center")
        body_top = names_top + layout.LINE * em * len(row_names[0])
        draw_row(figure, row, body_top)
        bar_top = body_top + frame.body_height + 0.5 * em
        bar = layout.add_panel(figure, 3 * em, bar_top, frame.width - 6 * em, 0.7 * em)
        style.add_colour_bar(figure, bar, row.colours, row.scale, em, signed=row.signed)
        top = body_top + below
    return figure


def _widest_name(strip: _Strip, em: float) -> int:
    return int(layout.widest([f"→ {label}" for label in strip.labels], em) + 0.4 * em)


def _image_figure(observation: Array, strip: _Strip, dpi: int) -> Figure:
    columns = len(strip.rows[0].values) + 1
    target = min(336, max(168, 1512 / columns)) * dpi / 150
    height, panel_width = layout.panel_size(observation.shape[1], observation.shape[2], target)
    cell = max(panel_width, round(0.9 * dpi))
    # Margins take 1.2 em, and the gap after each column .4 em.
    beside = 1.2 + 0.4 * columns
    em = max(columns * cell / (layout.EMS_IN_PAGE - beside), layout.smallest_em(dpi))
    # Long names widen the columns rather than meet, and many columns do not swell the text.
    em = min(em, max(cell / 6.5, layout.smallest_em(dpi)))
    cell = max(cell, _widest_name(strip, em))
    gap = 0.4 * em
    first = 0.6 * em
    frame = _Frame(
        em, columns * cell + beside * em, first + cell + gap, cell + gap, cell, height, dpi
    )
    picture = style.displayed_observations(observation[np.newaxis])[0]

    def draw_row(figure: Figure, row: _Row, top: float) -> None:
        inset = (cell - panel_width) // 2
        if row.signed:
            layout.add_text(
                figure,
                first + cell / 2,
                top - layout.LINE * em,
                ["observation"],
                em,
                align="center",
            )
            axes = layout.add_panel(figure, first + inset, top, panel_width, height)
            style.show_map(figure, axes, picture, "gray", 0.0, 1.0)
        for column, values in enumerate(row.values):
            left = frame.left + column * frame.pitch + inset
            axes = layout.add_panel(figure, left, top, panel_width, height)
            style.show_map(figure, axes, values, row.colours, row.low, row.scale.limit)

    strip = replace(strip, header=[*strip.header, style.channel_note(len(observation))])
    return _framed(strip, frame, draw_row)


def _flat_figure(observation: Array, strip: _Strip, dpi: int) -> Figure:
    drawn = features.most_changed_features(strip.rows[1].values, MOST_FEATURES)
    columns, rows = len(strip.rows[0].values), len(drawn)
    width = 10 * dpi
    em = width / layout.EMS_IN_PAGE
    # Up to 32 features are named one by one, more share 40 em.
    each = round(1.3 * em) if rows <= 32 else max(2, round(40 * em / rows))
    stride = -(-int(1.3 * em) // each)
    names = features.feature_names(drawn[::stride], observation)
    left = layout.widest(names, em) + 1.2 * em
    cell = max(int((width - left - 2 * em) / columns), _widest_name(strip, em))
    width = round(left + columns * cell + 2 * em)
    frame = _Frame(em, width, left, cell, cell, rows * each, dpi)

    def draw_row(figure: Figure, row: _Row, top: float) -> None:
        axes = layout.add_panel(figure, left, top, columns * cell, rows * each)
        style.show_map(figure, axes, row.values[:, drawn].T, row.colours, row.low, row.scale.limit)
        first = top + (each - stride * each) / 2
        layout.add_names(figure, left - 0.4 * em, first, stride * each, names, em)

    what = f"{rows} of {observation.size:,} features, those that changed most"
    if rows == observation.size:
        what = f"{rows} features" + (", each with its observed value" if rows <= 32 else "")
    return _framed(replace(strip, header=[*strip.header, what]), frame, draw_row)
