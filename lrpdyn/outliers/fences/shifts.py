"""Spikes and shifts: one transition that is an outlier, or a stretch in which all are larger.

The series is that of the steps: the median change over samples of each transition. Its logarithm,
freed of spikes by a running median, is cut where its level changes, by an exact search (PELT; Killick
et al. 2012, "Optimal detection of changepoints with a linear computational cost").
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lrpdyn.dynamics.changepoints import cut_where_worth
from lrpdyn.outliers.facts import Floats
from lrpdyn.outliers.fences.fences import FEWEST_VALUES

#: A spike is at most half of this many transitions long; a stretch at least this many.
SHORTEST = 5
#: A level has to change by this factor, or nobody would call it a shift.
LEAST_FACTOR = 1.5
#: Times the variance of the noise and the logarithm of the length: what one more cut has to gain. The
#: Bayesian criterion asks 2 of independent noise, but neighbours are alike: with 9, series without a
#: shift whose neighbours correlate by .7 are cut in at most 8 of 100, and a level that rises fourfold
#: is found to two transitions in 95 of 100 series of 50 (in 18 of 100 of 20).
PENALTY = 9.0


@dataclass(frozen=True, kw_only=True)
class Shift:
    """From the transition `at` on, the usual change is `after`; it was `before`."""

    at: int
    before: float
    after: float


def find_shifts(typical: Floats) -> list[Shift]:
    """Return where the level of a series of changes shifts, in order; none below 20 values.

    Parameters
    ----------
    typical
        (T,), not negative.
    """
    if len(typical) < FEWEST_VALUES or not (typical > 0).any():
        return []
    logarithm = np.log(np.maximum(typical, float(typical[typical > 0].min())))
    smooth = _running_median(logarithm)
    # Differences over some distance: neighbours are alike, and would make the noise too small.
    apart = logarithm[SHORTEST:] - logarithm[:-SHORTEST]
    noise = float(np.median(np.abs(apart))) / (0.6745 * 2**0.5)
    penalty = PENALTY * max(noise, 1e-6) ** 2 * np.log(len(typical))
    cuts = [0, *cut_where_worth(smooth[:, None], penalty, SHORTEST), len(typical)]
    levels = [float(np.median(typical[a:b])) for a, b in pairwise(cuts)]
    found = []
    for at, before, after in zip(cuts[1:-1], levels, levels[1:], strict=False):
        smaller, larger = sorted((before, after))
        if larger > LEAST_FACTOR * smaller:
            found.append(Shift(at=at, before=before, after=after))
    return found


def form(typical: Floats, shifts: list[Shift], transition: int, beyond: float) -> str:
    """Return ``shift`` where a transition is one of a stretch of larger ones, else ``spike``.

    A value is a spike where it is more than its stretch's own median times the factor by which
    `beyond`, the fence that it crossed, lies above the run's median.
    """
    cuts = [0, *(shift.at for shift in shifts), len(typical)]
    stretch = next(typical[a:b] for a, b in pairwise(cuts) if a <= transition < b)
    middle = float(np.median(typical))
    if not shifts or middle == 0:
        return "spike"
    allowed = float(np.median(stretch)) * max(beyond / middle, 1.0)
    return "spike" if typical[transition] > allowed else "shift"


def _running_median(values: Floats) -> Floats:
    half = SHORTEST // 2
    padded = np.concatenate([values[half:0:-1], values, values[-2 : -2 - half : -1]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, SHORTEST)
    found: Floats = np.median(windows, axis=1)
    return found
