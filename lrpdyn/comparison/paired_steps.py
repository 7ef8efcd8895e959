"""Which steps of several runs are compared with each other: those at the same progress of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: So many points of training are compared at most: each costs reading the maps of every run.
MOST_POINTS = 20


@dataclass(frozen=True, kw_only=True)
class PairedSteps:
    """The steps (R, P) of R runs at P points of training, and each point's share of training, (P,).

    `how` says in words how they were paired, `most_apart` how far in shares of training the steps of one
    point are from each other at most.
    """

    steps: NDArray[np.int64]
    shares: NDArray[np.float64]
    how: str
    most_apart: float


def last_part(paired: PairedSteps) -> slice:
    """Return the points of the last quarter, one at least: of their maps are basins and the plane of runs."""
    return slice(-max(1, len(paired.shares) // 4), None)


def paired_steps(steps: Sequence[Sequence[int]]) -> PairedSteps:
    """Return at most twenty points of training and the steps of each run that are nearest to them.

    Progress is the share of the run's last step. Runs with the same steps are paired step by step. The points
    are steps of the run that has the fewest, evenly spread.

    >>> paired_steps([[0, 10, 20], [0, 500, 1000]]).steps.tolist()
    [[0, 10, 20], [0, 500, 1000]]
    >>> paired_steps([[0, 10, 20, 30, 40], [0, 200, 400]]).steps.tolist()
    [[0, 20, 40], [0, 200, 400]]
    """
    shares = [np.array(own) / max(own[-1], 1) for own in steps]
    fewest = min(shares, key=len)
    chosen = np.linspace(0, len(fewest) - 1, min(len(fewest), MOST_POINTS)).round().astype(int)
    points = fewest[chosen]
    places = np.stack([np.abs(own[:, None] - points).argmin(axis=0) for own in shares])
    found = np.stack([own[place] for own, place in zip(shares, places, strict=True)])
    same = all(tuple(own) == tuple(steps[0]) for own in steps)
    return PairedSteps(
        steps=np.stack([np.array(own)[at] for own, at in zip(steps, places, strict=True)]),
        shares=points,
        how="the same steps" if same else "the same share of training",
        most_apart=float(np.ptp(found, axis=0).max()),
    )
