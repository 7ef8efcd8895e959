"""Which transitions a filmstrip shows, and their maps, loaded one at a time."""

from collections.abc import Callable, Sequence

import numpy as np

from lrpdyn.errors import RunError, UsageError
from lrpdyn.figures import style
from lrpdyn.figures.style import Array


def choose_transitions(steps: int, count: int) -> list[int]:
    """Choose at most count of the transitions between this many steps.

    The first and the last are kept (only the first where count is one), the others lie evenly
    between them.

    Raises
    ------
    UsageError
        There is no transition to choose, or count is below one.
    """
    if steps < 2 or count < 1:
        raise UsageError(
            f"filmstrip: expected at least 2 steps and 1 transition, found {steps} and {count}; "
            "compute more steps or ask for more transitions"
        )
    last = steps - 2
    parts = min(count - 1, last)
    if parts == 0:
        return [0]
    return [(2 * part * last + parts) // (2 * parts) for part in range(parts + 1)]


def load_transitions(
    steps: Sequence[int],
    chosen: Sequence[int],
    relevance: Callable[[int], Array],
    shape: tuple[int, ...],
) -> tuple[Array, Array]:
    """Load the chosen maps and their differences to the next step, each map once.

    Parameters
    ----------
    steps, chosen
        All steps, and the index of the first step of each transition wanted, rising.
    relevance
        Loads the map of one step.
    shape
        (C, H, W) or (F,), which every map must have.

    Returns
    -------
    maps, differences
        (T, H, W) or (T, F), float64: signed relevance, and |R_i - R_i+1|, both summed over
        channels, the second after taking the absolute value.

    Raises
    ------
    RunError
        A map has another shape.
    """
    maps, differences = [], []
    known: dict[int, Array] = {}
    for index in chosen:
        wanted = (index, index + 1)
        known = {
            place: known[place] if place in known else _load(steps[place], relevance, shape)
            for place in wanted
        }
        difference = np.abs(known[index] - known[index + 1])
        images = len(shape) == 3
        maps.append(style.sum_channels(known[index]) if images else known[index])
        differences.append(style.sum_channels(difference) if images else difference)
    return np.stack(maps), np.stack(differences)


def _load(step: int, relevance: Callable[[int], Array], shape: tuple[int, ...]) -> Array:
    values = np.asarray(relevance(step), dtype=np.float64)
    if values.shape != shape:
        raise RunError(
            f"filmstrip: relevance of step {step} has shape {values.shape}, expected {shape} as "
            "the observation; compute the run again with --overwrite"
        )
    # An infinite value less an infinite value would warn; both are drawn as not finite.
    return np.where(np.isfinite(values), values, np.nan)
