"""Which steps a figure shows, and the maps and differences of a sample, loaded one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lrpdyn.errors import RunError, UsageError
from lrpdyn.figures.canvas import style
from lrpdyn.figures.canvas.style import Array


def choose_steps(steps: Sequence[int], count: int, flagged: Sequence[int] = ()) -> list[int]:
    """Return the places of at most `count` steps, rising.

    The first and the last are kept, then the steps of `flagged` in their order; what room is left
    goes to steps evenly spaced in the logarithm of the training since the first: most happens early.

    Raises
    ------
    UsageError
        There is no step to choose, or count is below two.
    """
    if not steps or count < 2:
        raise UsageError(
            f"expected at least 1 step and room for 2, found {len(steps)} and {count}; compute more "
            "steps or ask for more"
        )
    if len(steps) <= count:
        return list(range(len(steps)))
    ordered = [step for step in flagged if step in steps]
    chosen = {0, len(steps) - 1, *(steps.index(step) for step in ordered[: count - 2])}
    since = np.log1p((np.array(steps, dtype=np.float64) - steps[0]) / (steps[1] - steps[0]))
    for target in np.linspace(0, since[-1], count - len(chosen) + 2)[1:-1]:
        distance = np.abs(since - target)
        distance[list(chosen)] = np.inf
        chosen.add(int(distance.argmin()))
    return sorted(chosen)


def places_of(
    steps: Sequence[int], wanted: Sequence[int] | None, most: int, flagged: Sequence[int]
) -> list[int]:
    """Return the places of the wanted steps, rising; of `most` that `choose_steps` takes for None."""
    if wanted is None:
        return choose_steps(steps, most, flagged)
    return sorted(steps.index(step) for step in wanted)


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Maps at some steps, and their differences to the next step.

    `maps` are (T, H, W) or (T, F), float64: signed relevance, summed over channels. `differences`
    are |R_i - R_i+1|, summed over channels after taking the absolute value; the last of all steps
    has no next one, so no differences. `sums_alone`: the run has kept sums over channels alone, and
    differences are of these.
    """

    maps: Array
    differences: Array
    sums_alone: bool


def load_maps(
    steps: Sequence[int],
    chosen: Sequence[int],
    relevance: Callable[[int], Array],
    shape: tuple[int, ...],
) -> Loaded:
    """Load the chosen maps and their differences to the next step, each map once.

    `chosen` are the places of the wanted steps, rising; `relevance` loads the map of one step.
    Every map must have the shape, (C, H, W) or (F,); all may be (H, W), summed over channels.

    Raises
    ------
    RunError
        A map has another shape.
    """
    known = {chosen[0]: np.asarray(relevance(steps[chosen[0]]))}
    sums_alone = len(shape) == 3 and known[chosen[0]].shape == shape[1:]
    expected = shape[1:] if sums_alone else shape
    summed = style.sum_channels if len(expected) == 3 else np.asarray
    maps, differences = [], []
    for index in chosen:
        wanted = range(index, min(index + 2, len(steps)))
        known = {
            place: known[place] if place in known else np.asarray(relevance(steps[place]))
            for place in wanted
        }
        here, *after = (_finite(known[place], steps[place], expected) for place in wanted)
        maps.append(summed(here))
        differences += [summed(np.abs(here - following)) for following in after]
    pixels = maps[0].shape
    return Loaded(
        maps=np.stack(maps),
        differences=np.array(differences, dtype=np.float64).reshape(-1, *pixels),
        sums_alone=sums_alone,
    )


def _finite(values: Array, step: int, shape: tuple[int, ...]) -> Array:
    if values.shape != shape:
        raise RunError(
            f"relevance of step {step} has shape {values.shape}, expected {shape} as the observation; "
            "compute the run again with --overwrite"
        )
    # An infinite value less an infinite value would warn; both are drawn as not finite.
    return np.where(np.isfinite(values), values, np.nan).astype(np.float64)
