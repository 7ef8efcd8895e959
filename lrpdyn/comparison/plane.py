"""Runs as points in a plane, near each other where their maps are similar."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def plane(similarity: Floats) -> tuple[Floats, float]:
    """Return points (R, 2) of R things by their cosines (R, R), and the share of distances that they keep.

    Squared distances are 2 (1 - cosine). The plane is that of classical scaling (Torgerson 1952): of all
    planes it keeps the largest share (0 to 1) of their sum.

    >>> points, kept = plane(np.array([[1, 0], [0, 1.0]]))
    >>> float(np.square(points[0] - points[1]).sum().round(6)), round(kept, 6)
    (2.0, 1.0)
    """
    centre = np.eye(len(similarity)) - 1 / len(similarity)
    lengths, directions = np.linalg.eigh(centre @ similarity @ centre)
    lengths, directions = lengths[:-3:-1].clip(0), directions[:, :-3:-1]
    # An eigenvector may as well point the other way: the same runs give the same picture.
    strongest = directions[np.abs(directions).argmax(axis=0), np.arange(2)]
    total = np.trace(centre @ similarity)
    kept = min(float(lengths.sum() / total), 1.0) if total > 1e-12 else 1.0
    return directions * np.where(strongest < 0, -1, 1) * np.sqrt(lengths), kept
