"""The value that observations hold most often: the background, as a rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.files.streamed import Samples, pieces

#: So many different values are counted at once.
MOST_VALUES = 2**20


def modal_value(observations: Samples) -> float:
    """Return the value that observations hold most often, the least of several.

    Pictures hold a few hundred values. Of more than a million different ones, those that were rarest
    so far are forgotten: the value of a background is not among them.
    """
    values: NDArray[Any] = np.zeros(0, dtype=np.float32)
    counts: NDArray[Any] = np.zeros(0)
    for piece in pieces(observations):
        found, more = np.unique(piece, return_counts=True)
        values, places = np.unique(np.concatenate([values, found]), return_inverse=True)
        counts = np.bincount(places, np.concatenate([counts, more]))
        if len(values) > MOST_VALUES:
            kept = counts > np.partition(counts, -MOST_VALUES - 1)[-MOST_VALUES - 1]
            values, counts = values[kept], counts[kept]
    if not len(values):  # none is much more frequent than any other
        return float(observations[:1].ravel()[0])
    return float(values[counts.argmax()])


def modal_pixel(observations: Samples, scale: float) -> float:
    """Return the `modal_value` of pixels, 0 to 255 before they were divided by `scale`."""
    counts = np.zeros(256, dtype=np.int64)
    for piece in pieces(observations):
        levels = np.rint(piece * np.float32(scale)).astype(np.uint8)
        counts += np.bincount(levels.ravel(), minlength=256)
    return float(np.float32(counts.argmax()) / np.float32(scale))
