"""The channels of one observation apart: the frames of a stack, or red, green and blue."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas import maps, saving, style, words
from lrpdyn.figures.canvas.grid import Column, draw_grid
from lrpdyn.figures.canvas.look import DEFAULT_LOOK, Look
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.request import Request, scales_by
from lrpdyn.figures.run_data import about_of, maps_of
from lrpdyn.files.names import short_name
from lrpdyn.run.reader import RunFolder

MOST_CHANNELS, MOST_STEPS = 16, 6


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw the channels of a sample apart."""
    (run,) = runs
    draw_channels(
        path,
        run.mapped("observations")[request.sample],
        run.mapped("dynamics")[request.sample],
        run.mapped("net_change")[request.sample],
        maps_of(run, request.sample),
        steps=run.steps,
        shown=run.steps[-1:] if request.steps is None else request.steps,
        sample=request.sample,
        about=about_of(run),
        own_scales=scales_by(request, "channels", ("step", "sample")) == "step",
        look=request.look,
    )


@saving.own_settings()
def draw_channels(
    path: str | os.PathLike[str],
    observation: Array,
    dynamics: Array,
    net_change: Array,
    relevance: Callable[[int], Array],
    *,
    steps: Sequence[int],
    shown: Sequence[int],
    sample: int,
    about: words.About,
    own_scales: bool = False,
    look: Look = DEFAULT_LOOK,
) -> None:
    """Draw a row a channel: observation, dynamics, net change, and relevance at some steps.

    The arrays are (C, H, W), of one sample, of which the first 16 channels are drawn; `relevance`
    loads such a map of one step. It is drawn at the steps of `shown`, six at most, on one scale or each
    on its own (`own_scales`).

    Raises
    ------
    UsageError
        The observation is flat, too many steps are to be shown, or the run keeps no channels.
    """
    if observation.ndim != 3:
        raise UsageError(
            f"--kind channels: sample {sample} has shape {observation.shape}, flat, without channels; "
            "see --kind dynamics"
        )
    if len(shown) > MOST_STEPS:
        raise UsageError(
            f"--kind channels: {len(shown)} steps; {MOST_STEPS} fit at most, choose them with --steps"
        )
    loaded = [np.asarray(relevance(step), dtype=np.float64) for step in shown]
    if loaded[0].shape != observation.shape:
        raise UsageError(
            "--kind channels: the run keeps relevance summed over channels (--keep pixels); compute it "
            "with --keep relevance into another folder (-o)"
        )
    count = len(observation)
    drawn = slice(min(count, MOST_CHANNELS))
    pictures = style.displayed_observations(observation[drawn, np.newaxis])
    moved, net = (np.asarray(of[drawn], dtype=np.float64) for of in (dynamics, net_change))
    values = np.stack([of_step[drawn] for of_step in loaded])
    of_dynamics = maps.scale_of(
        f"dynamics: the sum of {words.DIFFERENCE} over training", moved, look, signed=False
    )
    of_net = maps.scale_of(f"net change: {words.NET}", net, look, signed=False)
    what = f"R: relevance {words.RELEVANCE}"
    by_step = [maps.scale_of(what, of_step, look, signed=True) for of_step in values]
    of_relevance = maps.scale_of(what, values, look, signed=True)
    labels = words.narrow_labels(shown, about.unit)
    columns = [
        Column(heading="observed", values=pictures, scale=maps.GREY),
        Column(heading="dynamics", values=moved, scale=of_dynamics),
        Column(heading="net change", values=net, scale=of_net),
        *(
            Column(
                heading=f"R at {label}", values=of_step, scale=own if own_scales else of_relevance
            )
            for label, of_step, own in zip(labels.texts, values, by_step, strict=True)
        ),
    ]
    which = f"{len(pictures)} of {count} channels" if len(pictures) < count else f"{count} channels"
    order = "" if count in (1, 3) else "; of a stack the last is the newest"
    scales = [scale.sentence for scale in dict.fromkeys(column.scale for column in columns[1:])]
    caption = words.Caption(
        title=f"Channels of {about.sample(sample)}",
        line=[*about.line(steps), which],
        notes=[
            *about.notes(steps),
            *scales,
            f"{which}{order}.",
            *([words.sentence(labels.note)] if labels.note else []),
        ],
    )
    names = [short_name(about.names, "channels", channel) for channel in range(len(pictures))]
    saving.save_figure(draw_grid(columns, names, caption, look)[0], path, caption, look)
