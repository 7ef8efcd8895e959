"""The value that observations hold most often: the background, as a rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lrpdyn.files.streamed import Samples, pieces

#: So many different values are counted at once.
MOST_VALUES = 2**20


def modal_value(observations: Samples) -> float:
    """Return the value that observations hold most often, the least of several.

    Pictures hold a few hundred values. Of more than a million different ones, those are passed over
    that are too rare to be the most frequent if any has a millionth of all entries: what is left of
    counts that are cut by the same number (Agarwal et al. 2012, "Mergeable summaries").
    """
    values = np.zeros(0, dtype=np.float32)
    counts = np.zeros(0, dtype=np.int64)
    cut = False
    for piece in pieces(observations):
        values, counts = _merged(values, counts, *np.unique(piece, return_counts=True))
        if len(values) > MOST_VALUES:
            least = np.partition(counts, -MOST_VALUES - 1)[-MOST_VALUES - 1]
            kept = counts > least
            values, counts, cut = values[kept], counts[kept] - least, True
    if not len(values):  # no value is held much more often than any other
        return float(observations[:1].ravel()[0])
    if cut:
        counts = _counts_of(values, observations)
    return float(values[counts.argmax()])


def modal_pixel(observations: Samples, scale: float) -> float:
    """Return the `modal_value` of pixels, 0 to 255 before they were divided by `scale`."""
    counts = np.zeros(256, dtype=np.int64)
    for piece in pieces(observations):
        levels = np.rint(piece * np.float32(scale)).astype(np.uint8)
        counts += np.bincount(levels.ravel(), minlength=256)
    return float(np.float32(counts.argmax()) / np.float32(scale))


def _merged(
    values: NDArray[np.float32],
    counts: NDArray[np.int64],
    others: NDArray[np.float32],
    more: NDArray[np.int64],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    found, places = np.unique(np.concatenate([values, others]), return_inverse=True)
    total = np.zeros(len(found), dtype=np.int64)
    np.add.at(total, places, np.concatenate([counts, more]))
    return found, total


def _counts_of(values: NDArray[np.float32], observations: Samples) -> NDArray[np.int64]:
    """Return how often each of some values, in order, is held."""
    total = np.zeros(len(values) + 1, dtype=np.int64)
    for piece in pieces(observations):
        entries, counts = np.unique(piece, return_counts=True)
        places = np.searchsorted(values, entries)
        there = values[np.minimum(places, len(values) - 1)] == entries
        np.add.at(total, np.where(there, places, len(values)), counts)
    return total[:-1]
