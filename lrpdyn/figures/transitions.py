"""Which steps a figure shows, and the maps and differences of a sample, loaded one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lrpdyn.errors import RunError, UsageError
from lrpdyn.figures import style
from lrpdyn.figures.style import Array


def choose_steps(steps: Sequence[int], count: int, flagged: Sequence[int] = ()) -> list[int]:
    """Choose the places of at most `count` steps.

    The first and the last are kept, then the steps of `flagged` in their order; what room is left
    goes to steps evenly spaced in the logarithm of the training since the first: most happens early.

    Returns
    -------
    list[int]
        Places in `steps`, rising.

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


def load_maps(
    steps: Sequence[int],
    chosen: Sequence[int],
    relevance: Callable[[int], Array],
    shape: tuple[int, ...],
) -> tuple[Array, Array]:
    """Load the chosen maps and their differences to the next step, each map once.

    Parameters
    ----------
    steps, chosen
        All steps, and the places of the wanted ones, rising.
    relevance
        Loads the map of one step.
    shape
        (C, H, W) or (F,), which every map must have.

    Returns
    -------
    maps, differences
        (T, H, W) or (T, F), float64: signed relevance, and |R_i - R_i+1|, both summed over
        channels, the second after taking the absolute value. The last of all steps has no next
        one: its differences are left out.

    Raises
    ------
    RunError
        A map has another shape.
    """
    summed = style.sum_channels if len(shape) == 3 else np.asarray
    maps, differences = [], []
    known: dict[int, Array] = {}
    for index in chosen:
        wanted = range(index, min(index + 2, len(steps)))
        known = {
            place: known[place] if place in known else _load(steps[place], relevance, shape)
            for place in wanted
        }
        maps.append(summed(known[index]))
        if index + 1 < len(steps):
            differences.append(summed(np.abs(known[index] - known[index + 1])))
    pixels = maps[0].shape
    return np.stack(maps), np.array(differences, dtype=np.float64).reshape(-1, *pixels)


def _load(step: int, relevance: Callable[[int], Array], shape: tuple[int, ...]) -> Array:
    values = np.asarray(relevance(step), dtype=np.float64)
    if values.shape != shape:
        raise RunError(
            f"relevance of step {step} has shape {values.shape}, expected {shape} as "
            "the observation; compute the run again with --overwrite"
        )
    # An infinite value less an infinite value would warn; both are drawn as not finite.
    return np.where(np.isfinite(values), values, np.nan)
