"""The pictures of a page as short text: eight bits a pixel, deflated, in base64."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.measures import normalise, pixels
from lrpdyn.figures.canvas import style
from lrpdyn.page.budget import Kept
from lrpdyn.run.reader import RunFolder
from lrpdyn.system.progress import progress_bar

#: Levels on each side of zero. They are spaced by the square root, so that what is small against the
#: largest is visible too: a value is right to 1 / levels of itself at the largest, and to three
#: times that at a tenth of it.
RELEVANCE_LEVELS, CHANGE_LEVELS = 127, 63
#: Above so many entries the page has the last channel alone of observations that are no colours.
MOST_CHOICES = 1_000_000


@dataclass(frozen=True)
class PackedMap:
    """A map as text: its value is sign(q) (q / levels)^2 largest, with q = byte - levels."""

    largest: float
    text: str


@dataclass(frozen=True, kw_only=True)
class View:
    """Maps that share a colour scale.

    `levels` of the packed values; `limit` and `note`: where the colours end, and why there.
    `signed`: there are negative values, and colours diverge from zero. `maps` are by step and
    sample of the page, None where there is none; a map over all steps is one step.
    """

    levels: int
    limit: float
    note: str
    signed: bool
    maps: list[list[PackedMap | None]]


@dataclass(frozen=True, kw_only=True)
class Observations:
    """What the network saw, by sample of the page.

    `channels` is 3 for colours, 1 for grey, 0 for flat observations, whose height is 1, and width
    the number of features; `note` says which channel is shown. `choices` are what can be shown, by name
    (() where there is but one), and `shown` the one that is at first. `low` and `high` are the values that
    the darkest and the brightest byte stand for, `pictures` packed bytes (H, W, channels) by sample:
    a list for each choice, of colours one. `values` are those of flat observations.
    """

    height: int
    width: int
    channels: int
    note: str
    choices: tuple[str, ...]
    shown: int
    low: list[float]
    high: list[float]
    pictures: list[list[str]]
    values: list[list[float]]


def observations_of(run: RunFolder, samples: Sequence[int]) -> Observations:
    """Return the observations of some samples."""
    chosen = run.observations[list(samples)]
    if chosen.ndim == 2:
        values = [[float(f"{value:.5g}") for value in row] for row in chosen.tolist()]
        return Observations(
            height=1,
            width=chosen.shape[1],
            channels=0,
            note="",
            choices=(),
            shown=0,
            low=[],
            high=[],
            pictures=[],
            values=values,
        )
    channels, height, width = chosen.shape[1:]
    coloured = channels == 3
    choices: tuple[str, ...] = ("colours", "red", "green", "blue") if coloured else ()
    if channels not in (1, 3) and chosen.size <= MOST_CHOICES:
        last = channels - 1
        choices = (*(f"channel {number}" for number in range(last)), f"channel {last} (last)")
    begin = 0 if coloured or choices else channels - 1
    pictures, low, high = [], [], []
    for channel in range(begin, 1 if coloured else channels):
        source = run.observations if coloured else run.observations[:, [channel]]
        # One stretch of grey for all samples of the run, as its figures have it.
        shown = style.displayed_observations(source)[list(samples)]
        pictures.append([pack_bytes(one) for one in np.round(255 * shown).astype(np.uint8)])
        least, most = float(np.nanmin(source)), float(np.nanmax(source))
        true = coloured and least >= 0 and most <= 1
        low.append(0.0 if true else least)
        high.append(1.0 if true else most)
    return Observations(
        height=height,
        width=width,
        channels=3 if coloured else 1,
        note=style.channel_note(channels),
        choices=choices,
        shown=len(choices) - 1 if choices and not coloured else 0,
        low=low,
        high=high,
        pictures=pictures,
        values=[],
    )


def views_of(
    run: RunFolder, samples: Sequence[int], kept: Kept, *, quiet: bool = True
) -> dict[str, View]:
    """Return the views by name: relevance and change by step, dynamics and net change of all steps.

    Pixels are summed over channels, changes after the absolute difference. Unless `quiet`, a terminal
    shows progress.
    """
    how = run.manifest["normalize"]
    before = {int(row["to_step"]): int(row["from_step"]) for row in run.transitions}
    place = {sample: i for i, sample in enumerate(samples)}
    relevance: list[list[NDArray[Any] | None]] = []
    change: list[list[NDArray[Any] | None]] = []
    pairs = list(zip(kept.steps, kept.samples, strict=True))
    for step, shown in progress_bar(pairs, quiet=quiet, desc="reading maps", unit="step"):
        now = normalise(run.relevance[step][list(shown)], how)
        relevance.append(_placed(pixels(now), shown, place))
        if step in before:
            then = normalise(run.relevance[before[step]][list(shown)], how)
            change.append(_placed(pixels(np.abs(now - then)), shown, place))
        else:
            change.append([None] * len(samples))
    views = {
        "relevance": _view(relevance, RELEVANCE_LEVELS),
        "change": _view(change, CHANGE_LEVELS),
    }
    for name, maps in (("dynamics", run.dynamics), ("net_change", run.net_change)):
        whole = pixels(np.asarray(maps[list(samples)], dtype=np.float64))
        views[name] = _view([list(whole)], RELEVANCE_LEVELS)
    return views


def _placed(
    maps: NDArray[Any], shown: Sequence[int], place: dict[int, int]
) -> list[NDArray[Any] | None]:
    """Put the maps of some samples where the page has them; float32, for there may be many."""
    row: list[NDArray[Any] | None] = [None] * len(place)
    for sample, values in zip(shown, maps, strict=True):
        row[place[sample]] = values.astype(np.float32)
    return row


def _view(maps: Sequence[Sequence[NDArray[Any] | None]], levels: int) -> View:
    there = [values.ravel() for row in maps for values in row if values is not None]
    everything = np.concatenate(there) if there else np.zeros(1)
    scale = style.colour_scale(everything)
    return View(
        levels=levels,
        limit=scale.limit,
        note=scale.note,
        signed=bool(everything.min() < 0),
        maps=[[None if one is None else pack_map(one, levels) for one in row] for row in maps],
    )


def pack_map(values: NDArray[Any], levels: int) -> PackedMap:
    """Pack finite values of any shape and sign; `levels` is at most 127."""
    exact = np.asarray(values, dtype=np.float64)
    largest = float(np.abs(exact).max(initial=0.0))
    if largest == 0:
        quantised = np.zeros(exact.shape)
    else:
        quantised = np.sign(exact) * np.round(np.sqrt(np.abs(exact) / largest) * levels)
    return PackedMap(largest=largest, text=pack_bytes((quantised + levels).astype(np.uint8)))


def pack_bytes(values: NDArray[np.uint8]) -> str:
    """Return bytes as text."""
    return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode("ascii")
