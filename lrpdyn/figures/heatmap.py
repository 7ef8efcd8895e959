"""The dynamics of each sample beside its observation: where relevance moved during training."""

import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.figures import features, layout, style
from lrpdyn.figures.style import Array

MOST_SAMPLES = 16
MOST_BARS = 64
MOST_BARS_IN_ALL = 512
BAR_COLOUR = "#0072b2"
STRONGEST_OVERLAY = 0.9


def draw_heatmap(
    path: str | os.PathLike[str],
    observations: Array,
    dynamics: Array,
    *,
    steps: Sequence[int],
    rule: str,
    question: str,
    unit: str = "steps",
    samples: Sequence[int] | None = None,
    dpi: int = 150,
    value_unit: str = "units of the score",
) -> None:
    """Draw a row a sample: the observation, its dynamics, and both in one.

    Flat observations get a bar for each feature instead.

    Parameters
    ----------
    path
        Where the picture goes (.png or .pdf); replaced whole.
    observations, dynamics
        (N, C, H, W), or flat (N, F); dynamics is the sum over transitions of |R_i - R_i+1|.
    steps
        The steps the dynamics was summed over, in order.
    rule, question, unit, value_unit
        Words for the title: the LRP rule, what was explained, what steps count, and what the
        values are measured in.
    samples
        Which samples to draw, in this order; by default the first 16, and never more.
    dpi
        Pixels to the inch.

    Raises
    ------
    ObservationError
        The arrays have different shapes, or are neither images nor flat.
    UsageError
        There are no steps or samples, or a sample does not exist.
    """
    _check(observations, dynamics, steps)
    chosen = choose_samples(observations.shape[0], samples)
    header = [
        f"Dynamics over {style.count_of(steps)}",
        f"{style.span_of(steps, unit)}; rule {rule}",
        question,
        count_note(len(chosen), len(observations)),
    ]
    draw = _image_figure if observations.ndim == 4 else _bar_figure
    figure = draw(observations, dynamics, chosen, header, value_unit, dpi)
    style.save_figure(figure, path)


def _check(observations: Array, dynamics: Array, steps: Sequence[int]) -> None:
    if observations.shape != dynamics.shape:
        raise ObservationError(
            f"heatmap: observations have shape {observations.shape}, dynamics {dynamics.shape}; "
            "expected the same: give both from one run"
        )
    if observations.ndim not in (2, 4) or observations.size == 0:
        raise ObservationError(
            "heatmap: expected arrays of shape (N, C, H, W) or (N, F) with something in them, "
            f"found {observations.shape}; choose other observations"
        )
    if len(steps) == 0:
        raise UsageError("heatmap: expected at least one step, found none; compute the run first")


def choose_samples(count: int, samples: Sequence[int] | None) -> list[int]:
    """Give the samples to draw: those asked for or all of count, at most the first 16.

    Raises
    ------
    UsageError
        No sample is asked for, or one that does not exist.
    """
    asked = list(range(count)) if samples is None else [int(sample) for sample in samples]
    absent = [sample for sample in asked if not 0 <= sample < count]
    if absent or not asked:
        raise UsageError(
            f"heatmap: expected samples from 0 to {count - 1}, "
            f"found {absent or 'none'}; choose others"
        )
    return asked[:MOST_SAMPLES]


def count_note(shown: int, count: int) -> str:
    """Say how many of the samples are shown."""
    if shown < count:
        return f"{shown} of {count:,} samples"
    return f"all {count} samples" if count > 1 else "1 sample"


def overlaid(pictures: Array, dynamics: Array, limit: float) -> Array:
    """Lay dynamics (N, H, W) in colour over pictures (N, H, W) or (N, H, W, 3) made grey.

    The larger a value against the limit, the less is seen of the picture below it.
    """
    grey = pictures @ np.array([0.299, 0.587, 0.114]) if pictures.ndim == 4 else pictures
    strength = np.clip(np.where(np.isfinite(dynamics), dynamics, 0.0) / limit, 0.0, 1.0)
    colours = matplotlib.colormaps[style.COLOURS](strength)[..., :3]
    opacity = (STRONGEST_OVERLAY * np.sqrt(strength))[..., np.newaxis]
    return np.asarray(opacity * colours + (1 - opacity) * grey[..., np.newaxis])


def _image_figure(
    observations: Array,
    dynamics: Array,
    chosen: list[int],
    header: list[str],
    value_unit: str,
    dpi: int,
) -> Figure:
    pictures = style.displayed_observations(observations[chosen])
    maps = style.sum_channels(dynamics[chosen])
    scale = style.colour_scale(maps)
    both = overlaid(pictures, maps, scale.limit)

    panel_height, panel_width = layout.panel_size(maps.shape[1], maps.shape[2], 336 * dpi / 150)
    cell_width = max(panel_width, round(1.6 * dpi))
    # Beside three cells lie margins, gaps and the row's name: 3.9 em of the width.
    width = 3 * cell_width / (1 - 3.9 / layout.EMS_IN_COLUMN)
    em = width / layout.EMS_IN_COLUMN
    cell_height = max(panel_height, round(6 * em))
    inner = width - 1.2 * em
    channels = style.channel_note(observations.shape[1])
    title, notes = layout.wrap_header([*header[:3], f"{header[3]}; {channels}"], inner, em)
    label = layout.wrap(f"dynamics: sum of |R_i - R_i+1|, {value_unit} ({scale.note})", inner, em)
    lines = len(title) + len(notes) + len(label)
    bar_top = (0.6 + layout.LINE * lines + 0.6) * em
    rows_top = bar_top + (0.8 + 2.0 + layout.LINE) * em
    row = cell_height + 0.6 * em
    figure = layout.new_figure(width, rows_top + len(chosen) * row, dpi)

    below = layout.add_header(figure, title, notes, em)
    layout.add_text(figure, 0.6 * em, below + 0.3 * em, label, em)
    bar = layout.add_panel(figure, 3 * em, bar_top, width - 6 * em, 0.8 * em)
    style.add_colour_bar(figure, bar, style.COLOURS, scale, em, signed=False)
    lefts = [2.1 * em + column * (cell_width + 0.6 * em) for column in range(3)]
    for left, heading in zip(lefts, ("observation", "dynamics", "overlay"), strict=True):
        middle = left + cell_width / 2
        layout.add_text(figure, middle, rows_top - layout.LINE * em, [heading], em, align="center")
    for index, sample in enumerate(chosen):
        top = rows_top + index * row
        layout.add_rotated(figure, 1.2 * em, top + cell_height / 2, f"sample {sample}", em)
        for left, values in zip(lefts, (pictures, maps, both), strict=True):
            axes = layout.add_panel(
                figure,
                left + (cell_width - panel_width) // 2,
                top + (cell_height - panel_height) // 2,
                panel_width,
                panel_height,
            )
            is_map = values is maps
            colours, limit = (style.COLOURS, scale.limit) if is_map else ("gray", 1.0)
            style.show_map(figure, axes, values[index], colours, 0.0, limit)
    return figure


def _bar_figure(
    observations: Array,
    dynamics: Array,
    chosen: list[int],
    header: list[str],
    value_unit: str,
    dpi: int,
) -> Figure:
    count = observations.shape[1]
    most = min(MOST_BARS, max(features.MOST_VALUES, MOST_BARS_IN_ALL // len(chosen)))
    bars = min(count, most)
    finite = dynamics[chosen][np.isfinite(dynamics[chosen])]
    largest = float(finite.max(initial=0.0))
    limit = largest or 1.0

    width = 5.25 * dpi
    em = width / layout.EMS_IN_COLUMN
    inner = width - 1.2 * em
    what = f"{bars} strongest of {count:,} features" if bars < count else f"{count} features"
    beside = ", each with its observed value" if count <= features.MOST_VALUES else ""
    scale = f"bars: dynamics, sum of |R_i - R_i+1|, {value_unit}; one scale, largest {largest:.3g}"
    title, notes = layout.wrap_header(
        [*header[:3], f"{header[3]}; {what}{beside}", scale], inner, em
    )
    columns = min(2, len(chosen))
    rows = -(-len(chosen) // columns)
    top = (0.6 + layout.LINE * (len(title) + len(notes)) + 0.5) * em
    panel_height = (bars * 1.3 + 0.4) * em
    row = panel_height + (layout.LINE + 2.4) * em
    figure = layout.new_figure(width, top + rows * row, dpi)

    layout.add_header(figure, title, notes, em)
    drawn = [features.largest_features(dynamics[sample], most) for sample in chosen]
    names = [
        features.feature_names(strongest, observations[sample])
        for strongest, sample in zip(drawn, chosen, strict=True)
    ]
    names_width = layout.widest([name for each in names for name in each], em) + 1.2 * em
    end = f"{limit:.3g}"
    bars_width = width / columns - names_width - layout.text_width(end, em) / 2 - 0.6 * em
    for index, sample in enumerate(chosen):
        left = (index % columns) * width / columns + names_width
        above = top + (index // columns) * row
        layout.add_text(figure, left, above, [f"sample {sample}"], em)
        axes = layout.add_panel(figure, left, above + layout.LINE * em, bars_width, panel_height)
        lengths = np.nan_to_num(dynamics[sample][drawn[index]], posinf=0.0, neginf=0.0)
        axes.barh(np.arange(bars), lengths, height=0.75, color=BAR_COLOUR)
        axes.set_xlim(0, limit * 1.02)
        # Each bar has 1.3 em of the height; .2 em are left above and below.
        axes.set_ylim(bars - 0.5 + 0.2 / 1.3, -0.5 - 0.2 / 1.3)
        axes.set_xticks([0, limit], labels=["0", end])
        axes.set_yticks([])
        bars_top = above + (layout.LINE + 0.2) * em
        layout.add_names(figure, left - 0.4 * em, bars_top, 1.3 * em, names[index], em)
        axes.tick_params(labelsize=layout.points(em, dpi), length=0)
        for side in ("top", "right", "bottom"):
            axes.spines[side].set_visible(False)
    return figure
