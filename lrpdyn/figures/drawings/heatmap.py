"""The dynamics of each sample next to its observation: where relevance moved during training."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.figures.canvas import maps, saving, style, words
from lrpdyn.figures.canvas.grid import Column, draw_grid
from lrpdyn.figures.canvas.look import DEFAULT_LOOK, Look
from lrpdyn.figures.canvas.moved import Moved
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.drawings import bars

MOST_SAMPLES = 16


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

    Parameters
    ----------
    path
        Where the picture goes (.png, .svg or .pdf); replaced whole.
    observations
        (N, C, H, W), or flat (N, F).
    moved
        The sums over the steps.
    steps
        The steps they were made from, in order.
    about, look
        Words for the header, and colours.
    samples
        Which samples to draw, in this order; by default the first 16, and never more.

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
    figure_of = _image_figure if observations.ndim == 4 else bars.figure_of
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
    names = [f"sample {sample}" for sample in chosen]
    channels = style.channel_note(observations.shape[1])
    header = [*header[:3], f"{header[3]}; {channels}"]
    return draw_grid(columns, names, header, look).figure
