"""The samples that checks explain: all of few, a fixed choice of many."""

from __future__ import annotations

#: Checks explain their samples a dozen times: of more samples than this, they take so many.
MOST_CHECKED = 64


def evenly_spaced(count: int, most: int) -> list[int]:
    """Return up to `most` of `count` places, spread over all of them, the first and last included.

    A function of both numbers alone: every run checks the same ones.

    >>> evenly_spaced(9, 3)
    [0, 4, 8]
    """
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / max(most - 1, 1)) for place in range(most)]


def checked_samples(count: int) -> list[int]:
    """Return the samples, of `count`, that the checks of a run explain."""
    return evenly_spaced(count, MOST_CHECKED)
