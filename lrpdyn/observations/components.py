"""Connected components of masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def components(
    masks: NDArray[np.bool_], values: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Return the components of masks (M, H, W), whose pixels touch by an edge or a corner.

    Parameters
    ----------
    values
        (M, H, W): only neighbours of the same value are connected, where it is given.

    Returns
    -------
    NDArray
        (M, H, W): 0 outside of the masks, else the number of the component, from 1 in order of their first
        pixels; no number is of two masks.

    Examples
    --------
    >>> components(np.array([[[1, 1, 0, 1], [0, 0, 0, 1]]], dtype=bool))[0]
    array([[1, 1, 0, 2],
           [0, 0, 0, 2]])
    """
    height, width = masks.shape[1:]
    number = np.full(masks.shape, -1)
    number[masks] = np.arange(masks.sum())
    pairs = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        left = slice(max(-right, 0), width - max(right, 0))
        here = np.s_[:, : height - down, left]
        there = np.s_[:, down:, left.start + right : left.stop + right]
        joined = masks[here] & masks[there]
        if values is not None:
            joined &= values[here] == values[there]
        pairs.append(np.stack([number[here][joined], number[there][joined]]))
    root = _roots(np.concatenate(pairs, axis=1), int(masks.sum()))
    found = np.zeros(masks.shape, dtype=np.int64)
    found[masks] = np.unique(root, return_inverse=True)[1] + 1
    return found


def _roots(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the least member of the set that each of `count` members is in, joined by pairs (2, P)."""
    root = np.arange(count)
    while True:
        ends = root[pairs]
        least = ends.min(axis=0)
        if (ends == least).all():
            return root
        np.minimum.at(root, ends.ravel(), np.tile(least, 2))
        while (root != root[root]).any():
            root = root[root]
