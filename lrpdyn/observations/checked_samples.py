"""Which samples the checks look at: all of few, a fixed choice of many."""

from __future__ import annotations

#: Checks explain their samples a dozen times: of more samples than this they look at so many.
MOST_CHECKED = 64


def evenly_spaced(count: int, most: int) -> list[int]:
    """Return up to `most` of `count` places, spread over all of them, the first and last included.

    A function of both numbers alone: what is looked at is the same in every run.
    """
    if count <= most:
        return list(range(count))
    if most < 2:
        return [0] * most
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def checked_samples(count: int) -> list[int]:
    """Return the samples, of `count`, that the checks of a run look at."""
    return evenly_spaced(count, MOST_CHECKED)
