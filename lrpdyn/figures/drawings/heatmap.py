"""The dynamics of each sample next to its observation: where relevance moved during training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.figures.canvas import features, layout, maps, saving, style, words
from lrpdyn.figures.canvas.grid import Column, draw_grid
from lrpdyn.figures.canvas.look import DEFAULT_LOOK, Look
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.request import Request
from lrpdyn.figures.run_data import about_of
from lrpdyn.files.names import short_name
from lrpdyn.run.reader import RunFolder

MOST_SAMPLES = 16
MOST_BARS, MOST_BARS_IN_ALL = 64, 512
DYNAMICS_COLOUR, NET_COLOUR = style.LINE_COLOURS[5], style.LINE_COLOURS[0]
#: Height of a feature's bar in em.
EACH = 1.3


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What moved over training.

    `dynamics` is the sum over transitions of |R_i - R_i+1| and `net_change` |R_N - R_1|: (N, C, H,
    W), or flat (N, F). `relative` is dynamics over the sum of |R_i|, channels summed before: (N, H,
    W), or (N, F).
    """

    dynamics: Array
    net_change: Array
    relative: Array

    def of(self, samples: Sequence[int]) -> Moved:
        """Return what moved for some of the samples."""
        chosen = list(samples)
        return Moved(
            dynamics=self.dynamics[chosen],
            net_change=self.net_change[chosen],
            relative=self.relative[chosen],
        )


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw where relevance moved over training, a row a sample."""
    (run,) = runs
    moved = Moved(
        dynamics=run.mapped("dynamics"),
        net_change=run.mapped("net_change"),
        relative=run.mapped("relative_dynamics"),
    )
    draw_heatmap(
        path,
        run.mapped("observations"),
        moved,
        steps=run.steps,
        about=about_of(run),
        samples=request.samples,
        look=request.look,
    )


@saving.own_settings()
def draw_heatmap(
    path: str | os.PathLike[str],
    observations: Array,
    moved: Moved,
    *,
    steps: Sequence[int],
    about: words.About,
    samples: Sequence[int] | None = None,
    look: Look = DEFAULT_LOOK,
) -> None:
    """Draw a row a sample: observation, dynamics, relative dynamics, net change, overlay.

    All samples share one scale in each column. Flat observations get bars for each feature instead.

    The observations are (N, C, H, W), or flat (N, F); `steps` are those that the sums were made
    from, in order. `samples` are drawn in this order; by default the first 16, and never more.

    Raises
    ------
    ObservationError
        The arrays have different shapes, or are neither images nor flat.
    UsageError
        There are no steps or samples, or a sample does not exist.
    """
    _check(observations, moved, steps)
    chosen = choose_samples(observations.shape[0], samples)
    header = [
        f"Dynamics over {words.count_of(steps)}",
        *about.lines(steps),
        words.count_note(len(chosen), len(observations)),
    ]
    figure_of = _image_figure if observations.ndim == 4 else bars_figure
    figure = figure_of(observations[chosen], moved.of(chosen), chosen, header, about, look)
    saving.save_figure(figure, path)


def _check(observations: Array, moved: Moved, steps: Sequence[int]) -> None:
    summed = (len(observations), *observations.shape[-2:])
    expected = summed if observations.ndim == 4 else observations.shape
    for name, shape, wanted in (
        ("dynamics", moved.dynamics.shape, observations.shape),
        ("net change", moved.net_change.shape, observations.shape),
        ("relative dynamics", moved.relative.shape, expected),
    ):
        if shape != wanted:
            raise ObservationError(
                f"heatmap: observations have shape {observations.shape}, {name} {shape}; "
                f"expected {wanted}: give both from one run"
            )
    if observations.ndim not in (2, 4) or observations.size == 0:
        raise ObservationError(
            "heatmap: expected arrays of shape (N, C, H, W) or (N, F) with something in them, "
            f"found {observations.shape}; choose other observations"
        )
    if len(steps) == 0:
        raise UsageError("heatmap: expected at least one step, found none; compute the run first")


def choose_samples(count: int, samples: Sequence[int] | None) -> list[int]:
    """Return the samples to draw: the requested ones or all of count, at most the first 16.

    Raises
    ------
    UsageError
        No sample is requested, or one that does not exist.
    """
    requested = list(range(count)) if samples is None else [int(sample) for sample in samples]
    absent = [sample for sample in requested if not 0 <= sample < count]
    if absent or not requested:
        raise UsageError(
            f"heatmap: expected samples from 0 to {count - 1}, "
            f"found {absent or 'none'}; choose others"
        )
    return requested[:MOST_SAMPLES]


def _image_figure(
    observations: Array,
    moved: Moved,
    chosen: Sequence[int],
    header: Sequence[str],
    about: words.About,
    look: Look,
) -> Figure:
    pictures = style.displayed_observations(observations)
    dynamics = style.sum_channels(moved.dynamics)
    net_change = style.sum_channels(moved.net_change)
    relative = np.asarray(moved.relative, dtype=np.float64)
    of_dynamics, of_relative, of_net = (
        maps.scale_of(what, values, look, signed=False)
        for what, values in (
            (f"dynamics: sum of |R_i - R_i+1|, {about.value_unit}", dynamics),
            ("relative dynamics: for each unit of the sum of |R_i|", relative),
            (f"net change: |R_N - R_1|, {about.value_unit}", net_change),
        )
    )
    both = maps.overlaid(pictures, dynamics, of_dynamics.limit, of_dynamics.colours)
    columns = [
        Column(heading=["observed"], values=pictures, scale=maps.GREY),
        Column(heading=["dynamics"], values=dynamics, scale=of_dynamics),
        Column(heading=["relative", "dynamics"], values=relative, scale=of_relative),
        Column(heading=["net", "change"], values=net_change, scale=of_net),
        Column(heading=["overlay"], values=both, scale=maps.GREY),
    ]
    names = [short_name(about.names, "samples", sample) for sample in chosen]
    channels = style.channel_note(observations.shape[1])
    header = [*header[:-1], f"{header[-1]}; {channels}"]
    return draw_grid(columns, names, header, look)[0]


def bars_figure(
    observations: Array,
    moved: Moved,
    chosen: Sequence[int],
    header: Sequence[str],
    about: words.About,
    look: Look,
) -> Figure:
    """Draw a panel a sample: dynamics as bars, net change within them, relative dynamics next to them.

    `observations` and `moved` are (N, F), of the samples `chosen`; the last of `header` is of the
    samples.
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
        f"{header[-1]}; {what}{observed}",
        f"light: dynamics, sum of |R_i - R_i+1|; dark: net change, |R_N - R_1|; {about.value_unit}; "
        f"one scale, not clipped, largest {largest:.3g}",
        "number: relative dynamics, for each unit of the sum of |R_i|",
    ]
    head = layout.header_of([*header[:-1], *notes], width, em)
    columns = min(2, len(chosen))
    top = (0.6 + head.height + 0.5) * em
    panel_height = (drawn * EACH + 0.4) * em
    pitch = panel_height + (layout.LINE + 2.4) * em
    figure = layout.new_figure(width, top + -(-len(chosen) // columns) * pitch, look.dpi)

    head.write(figure)
    strongest = [features.largest_features(dynamics, most) for dynamics in moved.dynamics]
    names = [*map(features.feature_names, strongest, observations)]
    ratios = [
        [f"{ratio:.2g}" for ratio in relative[these]]
        for these, relative in zip(strongest, moved.relative, strict=True)
    ]
    names_width = layout.widest([*chain(*names)], em) + 1.2 * em
    ratios_width = layout.widest([*chain(*ratios)], em) + 0.8 * em
    panel_width = width / columns - names_width - ratios_width
    for index, sample in enumerate(chosen):
        left = (index % columns) * width / columns + names_width
        above = top + (index // columns) * pitch
        layout.add_text(figure, left, above, [about.sample(sample)], em)
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
