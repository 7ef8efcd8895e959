"""Which features of flat observations carry how much of the relevance, over all samples of a step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.measures import Array

#: So many of the strongest features of a step are kept.
MOST_FEATURES = 256


def summed_shares(maps: Array) -> tuple[Array, int]:
    """Return each feature's share of sum|R|, (F,), summed over samples, and how many samples have one.

    A map of (N, F) that is zero, or not finite, has no shares.
    """
    size = np.abs(np.asarray(maps, dtype=np.float64))
    total = size.sum(axis=1)
    known = np.isfinite(total) & (total > 0)
    return (size[known] / total[known, np.newaxis]).sum(axis=0), int(known.sum())


def strongest_features(
    parts: Sequence[tuple[Array, int]],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the features of a step with the largest shares, and these, means over samples.

    Both are (K,), the largest first, and of equal ones the lower number. Shares are NaN where no sample
    has any.

    Parameters
    ----------
    parts
        The `summed_shares` of all samples, some at a time.
    """
    sums, counts = zip(*parts, strict=True)
    count = sum(counts)
    shares = np.sum(sums, axis=0) / count if count else np.full(sums[0].shape, np.nan)
    order = np.argsort(-shares, kind="stable")[:MOST_FEATURES]
    return order, shares[order]
