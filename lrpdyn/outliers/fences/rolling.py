"""Fences in a rolling window: training is not the same at its start and at its end.

A change that is ordinary among the first checkpoints may be extraordinary among the last. Where a run
is long enough, each transition is compared with the fence of the transitions around it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lrpdyn.outliers.facts import Floats
from lrpdyn.outliers.fences.fences import Fences, fences

#: Transitions in a window. A run needs twice as many for windows to be used.
WIDTH = 50
#: Windows begin this many transitions apart; a transition takes the one whose middle is nearest.
STRIDE = 10


@dataclass(frozen=True, kw_only=True)
class Rolling:
    """The fences that each of T transitions is compared with, (T,); NaN where there is none.

    `window` is None where the run is too short for windows and the run's own fence is used.
    """

    mild: Floats
    far: Floats
    window: int | None


def rolling_fences(values: Floats, whole: Fences) -> Rolling:
    """Return the fences of (T, ...) values in windows of 50 transitions.

    Parameters
    ----------
    values
        Not negative; a row for each transition, in order.
    whole
        The fences of all values, used where the run is short, or where a window has none.
    """
    count = len(values)
    mild = np.full(count, np.nan if whole.mild is None else whole.mild)
    far = np.full(count, np.nan if whole.far is None else whole.far)
    if count < 2 * WIDTH:
        return Rolling(mild=mild, far=far, window=None)
    starts = [*range(0, count - WIDTH, STRIDE), count - WIDTH]
    middles = np.array(starts) + WIDTH / 2
    drawn = [fences(values[start : start + WIDTH]) for start in starts]
    # Of two middles that are as near, the first.
    nearest = np.searchsorted((middles[:-1] + middles[1:]) / 2, np.arange(count))
    for transition, window in enumerate(nearest.tolist()):
        fence = drawn[window]
        if fence.mild is not None and fence.far is not None:
            mild[transition], far[transition] = fence.mild, fence.far
    return Rolling(mild=mild, far=far, window=WIDTH)
