"""Flat observations in the heatmap: a bar for the dynamics of each feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrpdyn.figures.canvas import features, layout, style, words
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.style import Array

if TYPE_CHECKING:
    from lrpdyn.figures.canvas.moved import Moved

MOST_BARS = 64
MOST_BARS_IN_ALL = 512
DYNAMICS_COLOUR, NET_COLOUR = style.LINE_COLOURS[5], style.LINE_COLOURS[0]
#: Height of a feature in em.
EACH = 1.3


def figure_of(
    observations: Array,
    moved: Moved,
    chosen: Sequence[int],
    header: Sequence[str],
    about: words.About,
    look: Look,
) -> Figure:
    """Draw a panel a sample: dynamics as bars, net change within them, relative dynamics next to them.

    Parameters
    ----------
    observations, moved
        (N, F), of the samples `chosen`.
    header
        Title and notes; the last is of the samples.
    """
    count = observations.shape[1]
    most = min(MOST_BARS, max(features.MOST_VALUES, MOST_BARS_IN_ALL // len(chosen)))
    drawn = min(count, most)
    finite = moved.dynamics[np.isfinite(moved.dynamics)]
    largest = float(finite.max(initial=0.0))
    limit = largest or 1.0

    width = 5.25 * look.dpi
    em = width / layout.EMS_IN_COLUMN
    what = f"{drawn} strongest of {count:,} features" if drawn < count else f"{count} features"
    observed = ", each with its observed value" if count <= features.MOST_VALUES else ""
    notes = [
        f"{header[3]}; {what}{observed}",
        f"light: dynamics, sum of |R_i - R_i+1|; dark: net change, |R_N - R_1|; {about.value_unit}; "
        f"one scale, not clipped, largest {largest:.3g}",
        "number: relative dynamics, for each unit of the sum of |R_i|",
    ]
    head = layout.header_of([*header[:3], *notes], width, em)
    columns = min(2, len(chosen))
    top = (0.6 + head.height + 0.5) * em
    panel_height = (drawn * EACH + 0.4) * em
    pitch = panel_height + (layout.LINE + 2.4) * em
    figure = layout.new_figure(width, top + -(-len(chosen) // columns) * pitch, look.dpi)

    head.write(figure)
    strongest = [features.largest_features(dynamics, most) for dynamics in moved.dynamics]
    names = [
        features.feature_names(these, observation)
        for these, observation in zip(strongest, observations, strict=True)
    ]
    ratios = [
        [f"{ratio:.2g}" for ratio in relative[these]]
        for these, relative in zip(strongest, moved.relative, strict=True)
    ]
    names_width = layout.widest([name for each in names for name in each], em) + 1.2 * em
    ratios_width = layout.widest([ratio for each in ratios for ratio in each], em) + 0.8 * em
    panel_width = width / columns - names_width - ratios_width
    for index, sample in enumerate(chosen):
        left = (index % columns) * width / columns + names_width
        above = top + (index // columns) * pitch
        layout.add_text(figure, left, above, [f"sample {sample}"], em)
        axes = layout.add_panel(figure, left, above + layout.LINE * em, panel_width, panel_height)
        these = strongest[index]
        _add_bars(axes, moved.dynamics[index][these], moved.net_change[index][these], limit)
        axes.tick_params(labelsize=layout.points(em, look.dpi), length=0)
        bars_top = above + (layout.LINE + 0.2) * em
        layout.add_names(figure, left - 0.4 * em, bars_top, EACH * em, names[index], em)
        right = left + panel_width + ratios_width - 0.4 * em
        layout.add_names(figure, right, bars_top, EACH * em, ratios[index], em)
    return figure


def _add_bars(axes: Axes, dynamics: Array, net_change: Array, limit: float) -> None:
    """Draw a bar for the dynamics of each feature, and within it one for its net change."""
    count = len(dynamics)
    for values, height, colour in (
        (dynamics, 0.75, DYNAMICS_COLOUR),
        (net_change, 0.35, NET_COLOUR),
    ):
        lengths = np.nan_to_num(values, posinf=0.0, neginf=0.0)
        axes.barh(np.arange(count), lengths, height=height, color=colour)
    axes.set_xlim(0, limit * 1.02)
    # .2 em are left above and below the bars.
    axes.set_ylim(count - 0.5 + 0.2 / EACH, -0.5 - 0.2 / EACH)
    axes.set_xticks([0, limit], labels=["0", f"{limit:.3g}"])
    axes.set_yticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
