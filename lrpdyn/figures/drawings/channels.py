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
from lrpdyn.figures.request import Request
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
    look: Look = DEFAULT_LOOK,
) -> None:
    """Draw a row a channel: observation, dynamics, net change, and relevance at some steps.

    The arrays are (C, H, W), of one sample, of which the first 16 channels are drawn; `relevance`
    loads such a map of one step. It is drawn at the steps of `shown`, six at most.

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
    values, unit = np.stack([of_step[drawn] for of_step in loaded]), about.value_unit
    what = f"dynamics: sum of |R_i - R_i+1|, {unit}"
    of_dynamics = maps.scale_of(what, moved, look, signed=False)
    of_net = maps.scale_of(f"net change: |R_N - R_1|, {unit}", net, look, signed=False)
    of_relevance = maps.scale_of(f"R: relevance, {unit}", values, look, signed=True)
    labels = words.narrow_labels(shown, about.unit)
    columns = [
        Column(heading=["observed"], values=pictures, scale=maps.GREY),
        Column(heading=["dynamics"], values=moved, scale=of_dynamics),
        Column(heading=["net", "change"], values=net, scale=of_net),
        *(
            Column(heading=["R at", label], values=of_step, scale=of_relevance)
            for label, of_step in zip(labels.texts, values, strict=True)
        ),
    ]
    which = f"{len(pictures)} of {count} channels" if len(pictures) < count else f"{count} channels"
    order = "" if count in (1, 3) else ", of a stack the last is the newest"
    header = [
        f"Channels of {about.sample(sample)} over {words.count_of(steps)}",
        *about.lines(steps),
        "; ".join(part for part in (which + order, labels.note) if part),
    ]
    names = [short_name(about.names, "channels", channel) for channel in range(len(pictures))]
    saving.save_figure(draw_grid(columns, names, header, look)[0], path)
