"""The dynamics of each sample next to its observation: where relevance moved during training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, repeat
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.figures.canvas import features, layout, maps, saving, style, words
from lrpdyn.figures.canvas.curve_axes import add_key, key_lines
from lrpdyn.figures.canvas.grid import Column, draw_grid
from lrpdyn.figures.canvas.look import COLUMN, DEFAULT_LOOK, PAGE, Look
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.request import Request, scales_by
from lrpdyn.figures.run_data import about_of
from lrpdyn.files.names import NO_NAMES, Names, short_name
from lrpdyn.run.reader import RunFolder

MOST_SAMPLES = 16
MOST_BARS, MOST_BARS_IN_ALL = 64, 512
DYNAMICS_COLOUR, NET_COLOUR = style.LINE_COLOURS[5], style.LINE_COLOURS[0]
#: Height of a feature's bar in em.
EACH = 1.3
#: More panels of bars are drawn for a page's width: one below the other they would pass its height.
FEW_PANELS = 4
#: The least width of the bars in em.
FEWEST_EMS = 7.0


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
        relative=request.relative,
        own_scales=scales_by(request, "dynamics", ("sample", "all")) == "sample",
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
    relative: bool = False,
    own_scales: bool = False,
    look: Look = DEFAULT_LOOK,
) -> None:
    """Draw a row a sample: observation, dynamics, net change, overlay; relative dynamics on request.

    All samples share one scale in each column, unless each has its own (`own_scales`). Flat
    observations get bars for each feature instead.

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
    shown = words.count_note(len(chosen), len(observations))
    caption = words.Caption(
        title="Where relevance moved during training",
        line=[*about.line(steps), shown],
        notes=about.notes(steps),
    )
    of_vectors = partial(bars_figure, names=about.names)
    draw_figure = _image_figure if observations.ndim == 4 else of_vectors
    drawn = draw_figure(
        observations[chosen],
        moved.of(chosen),
        [short_name(about.names, "samples", sample) for sample in chosen],
        caption,
        look,
        relative,
        own_scales,
    )
    saving.save_figure(drawn[0], path, drawn[1], look)


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
    titles: Sequence[str],
    caption: words.Caption,
    look: Look,
    relative: bool,
    own_scales: bool,
) -> tuple[Figure, words.Caption]:
    pictures = style.displayed_observations(observations)
    summed = style.sum_channels(moved.dynamics)
    wanted = [
        ("dynamics", f"dynamics: the sum of {words.DIFFERENCE} over training", summed),
        ("net change", f"net change: {words.NET}", style.sum_channels(moved.net_change)),
    ]
    if relative:
        what = f"relative dynamics: dynamics over the sum of {words.SIZE} over training"
        wanted.insert(1, ("relative dynamics", what, np.asarray(moved.relative, dtype=np.float64)))
    drawn = {
        name: maps.scaled(what, values, look, signed=False, own=own_scales)
        for name, what, values in wanted
    }
    of_dynamics = drawn["dynamics"]
    over = of_dynamics.values, of_dynamics.scale.limit, of_dynamics.scale.colours
    columns = [
        Column(heading="observed", values=pictures, scale=maps.GREY),
        *(
            Column(heading=name, values=one.values, scale=one.scale, limits=one.limits)
            for name, one in drawn.items()
        ),
        Column(heading="overlay", values=maps.overlaid(pictures, *over), scale=maps.GREY),
    ]
    caption = replace(
        caption,
        notes=[
            *caption.notes,
            *(one.scale.sentence for one in drawn.values()),
            words.sentence(style.channel_note(observations.shape[1])),
            "Overlay: dynamics in colour over the observation, which is dimmed.",
        ],
    )
    return draw_grid(columns, titles, caption, look)[0], caption


def bars_figure(
    observations: Array,
    moved: Moved,
    titles: Sequence[str],
    caption: words.Caption,
    look: Look,
    relative: bool = False,
    own_scales: bool = False,
    names: Names = NO_NAMES,
) -> tuple[Figure, words.Caption]:
    """Draw a panel a sample: dynamics as bars, net change within them; return its caption too.

    `observations` and `moved` are (N, F), `titles` what their samples are called, `names` has those of
    features. Relative dynamics are numbers next to the bars.
    """
    count = observations.shape[1]
    most = min(MOST_BARS, max(features.MOST_VALUES, MOST_BARS_IN_ALL // len(titles)))
    drawn = min(count, most)
    largest = [float(of_one[np.isfinite(of_one)].max(initial=0.0)) for of_one in moved.dynamics]
    limits = largest if own_scales else [max(largest)] * len(largest)

    few = len(titles) <= FEW_PANELS
    width, em = look.page(5.25 if few else PAGE, COLUMN if few else PAGE)
    strongest = [features.largest_features(dynamics, most) for dynamics in moved.dynamics]
    labels = [*map(features.feature_names, strongest, observations, repeat(names))]
    ratios = [
        [f"{ratio:.2g}" if relative else "" for ratio in of_one[these]]
        for these, of_one in zip(strongest, moved.relative, strict=True)
    ]
    names_width = layout.widest([*chain(*labels)], em) + 1.2 * em
    ratios_width = layout.widest([*chain(*ratios)], em) + 0.8 * em
    # The number at the end of the axis reaches beyond it, and a bar is worth looking at.
    room = (width - 1.2 * em) / (names_width + ratios_width + FEWEST_EMS * em)
    columns = max(1, min(len(titles), int(room), 4 if width > 45 * em else 2))
    what = f"{drawn} strongest of {count:,} features" if drawn < count else f"all {count} features"
    observed = ", each with its observed value" if count <= features.MOST_VALUES else ""
    ends = "each sample has its own scale" if own_scales else "all samples share one scale"
    notes = [
        *caption.notes,
        words.sentence(f"{what}{observed}"),
        f"Light: dynamics, the sum of {words.DIFFERENCE} over training; dark: net change, "
        f"{words.NET}; {ends}, not clipped, the largest is {max(largest):.3g}.",
    ]
    if relative:
        notes.append(
            f"Number: relative dynamics, dynamics over the sum of {words.SIZE} over training."
        )
    caption = replace(caption, line=[*caption.line, what], notes=notes)
    panel_height = (drawn * EACH + 0.4) * em
    pitch = panel_height + (layout.LINE + 2.4) * em
    keys = ["dynamics", "net change"]
    key_height = key_lines(keys, width - 1.2 * em, em) * layout.LINE
    of_numbers = layout.LINE if relative else 0.0
    body = -(-len(titles) // columns) * pitch
    head = layout.header_of(caption, look, width, em, body / em + key_height + of_numbers + 0.5)
    key_top = (0.9 + head.height) * em
    top = key_top + (key_height + of_numbers + 0.5) * em
    figure = layout.new_figure(width, top + body, look.dpi)

    head.write(figure)
    handles = [Patch(color=DYNAMICS_COLOUR), Patch(color=NET_COLOUR)]
    below = add_key(figure, 0.6 * em, key_top, width - 1.2 * em, handles, keys, em)
    if relative:
        layout.add_text(figure, 0.6 * em, below, ["numbers: relative dynamics"], em)
    panel_width = (width - 0.6 * em) / columns - names_width - ratios_width
    for index, title in enumerate(titles):
        left = (index % columns) * (width - 0.6 * em) / columns + names_width
        above = top + (index // columns) * pitch
        shown = layout.shortened_name(title, panel_width + ratios_width, em)
        layout.add_text(figure, left, above, [shown], em)
        axes = layout.add_panel(figure, left, above + layout.LINE * em, panel_width, panel_height)
        these = strongest[index]
        _add_bars(axes, moved.dynamics[index][these], moved.net_change[index][these],
                  limits[index] or 1.0)  # fmt: skip
        axes.tick_params(labelsize=layout.points(em, look.dpi), length=0)
        bars_top = above + (layout.LINE + 0.2) * em
        layout.add_names(figure, left - 0.4 * em, bars_top, EACH * em, labels[index], em)
        right = left + panel_width + ratios_width - 0.4 * em
        layout.add_names(figure, right, bars_top, EACH * em, ratios[index], em)
    return figure, caption


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
    axes.get_xticklabels()[-1].set_horizontalalignment("right")
    axes.set_yticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
