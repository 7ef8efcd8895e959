"""Upper fences for changes of relevance: how large is too large.

Values beyond Tukey's Q3 + 3 IQR are left out first. The power is found that makes the rest symmetric
(5 % and 95 % quantiles equally far from the median), so that a normal tail can be continued from it.
The far fence is the lowest height beyond which lie at least ten times as many values as that tail
predicts (mild: twice as many), and never below Tukey's fence of the rest.

Why this rule: it was the only one measured that keeps to at most 1 % false far flags on clean data
*and* finds outliers that are 7 % of all and lie close by. A fence at a distance set by the shape
of the bulk hardly does both: of 352 changes in a real run 24 were broken, just beyond Q3 + 3 IQR,
where a fiftieth of a clean, heavy-tailed population lies too. Their number tells them apart. Per
cent, by ``tests/benchmarks/fences.py``; worst of half-normal, exponential, lognormal, abs(t3) and
60 % zeros with exponential; planted are 10 % of the values, at five times the clean .999 quantile;
recorded are 60 reconstructions of that run from what was noted of it (fewer repeats for the rules
that need the medcouple):

=================================  ==========================  ==============  ========
far fence                          false flags, n = 44 / 352   planted found,  recorded
                                   / 1000 / 28224              n = 352         found
=================================  ==========================  ==============  ========
Tukey 3                            3.5 / 3.1 / 3.2 / 3.3       99              100
Tukey 1.5 on the logarithm         .57 / .40 / .36 / .31       1               3
adjusted boxplot, c = 3            .40 / .32 / .26 / .26       0               0
adjusted boxplot of the screened   1.0 / .48 / .44 / .41       100             0
screen and power, 2.6 sigma        2.5 / 1.7 / 1.6 / 1.7       99              98
screen and power, 3.1 sigma        1.5 / .80 / .80 / .82       99              50
this rule                          .96 / .74 / .66 / .72       99              97
=================================  ==========================  ==============  ========

Where it ends: with about 20 positive values it finds 88 to 93 % of the planted ones and flags up to
1.3 % falsely (99 to 100 % are found among 44 positive values); the screen holds while fewer than a
quarter of the positive values are broken; a clean tail heavier than a lognormal's with sigma = 1
has more than 1 % beyond the far fence (sigma = 2: 4 %, Tukey 9 %).

References
----------
Tukey 1977, "Exploratory Data Analysis" (fences). Box and Cox 1964, "An analysis of transformations"
(powers). Hinkley 1975, "On power transformations to symmetry" (the power from three quantiles).
Benjamini and Hochberg 1995, "Controlling the false discovery rate" (observed against predicted
counts: one flag in ten is false where the tail is as predicted). Hubert and Vandervieren 2008, "An
adjusted boxplot for skewed distributions" (what was compared).
"""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrpdyn.outliers.facts import Integers
from lrpdyn.outliers.fences.sizes import Sizes

FEWEST_VALUES = 20
"""Positive values below which there is no fence."""

EXCESS_MILD = 2
EXCESS_FAR = 10
"""How many times as many values as predicted lie beyond a fence."""

WIDENING = 14
"""The quantiles of n values are uncertain: scores are stretched by 1 + 14 / n."""

OUTER_QUANTILE = 0.05
SMALLEST_POWER = 1e-9  # the logarithm, in all but name: spares a second formula for power 0

# Standard normal scores at which a fence may stand: from the one with 1 % beyond it, which bounds
# what is flagged in values that have the predicted shape, to one that 1e14 values hardly pass.
_SCORES = np.arange(2.33, 8.0, 0.02)
_SHARES_BEYOND = np.array([math.erfc(score / math.sqrt(2)) / 2 for score in _SCORES])
_OUTER_SCORE = NormalDist().inv_cdf(1 - OUTER_QUANTILE)


@dataclass(frozen=True, kw_only=True)
class Fences:
    """Upper fences of one population.

    Attributes
    ----------
    method : str
        ``power-tail``, or ``rank`` where no fence can be drawn and values are only ranked.
    count : int
        Number of values, zeros included.
    zeros : float
        Share of values that are exactly zero, in 0..1.
    mild, far : float or None
        Values strictly beyond are outliers, in the unit of the values; ``mild <= far``. None where
        there is no fence.
    """

    method: str
    count: int
    zeros: float
    mild: float | None
    far: float | None


def fences(values: ArrayLike | Sizes) -> Fences:
    """Draw the upper fences of non-negative values that are skewed to the right.

    Only positive values take part; zeros are counted. A fence also stands where less than half
    (mild) or a tenth (far) of one value is predicted beyond, so it rises with their number.

    Parameters
    ----------
    values : array_like of float, any shape, or Sizes
        One population, in any order and any one unit.

    Returns
    -------
    Fences
        ``mild`` and ``far`` are None for fewer than 20 positive values, for an interquartile range
        of zero (of the positive values, or of those left by the screen), and for a spread beyond
        the range of floating-point numbers.

    Raises
    ------
    ValueError
        If a value is NaN, infinite or negative.

    Notes
    -----
    The method, what it was chosen for and its sources are in the docstring of the module.
    """
    sizes = values if isinstance(values, Sizes) else Sizes(np.asarray(values, dtype=np.float64))
    positive = sizes.positive
    none = unfenced(sizes)
    if positive < FEWEST_VALUES:
        return none
    # Overflow leaves an infinite fence, which is found below.
    with np.errstate(over="ignore", divide="ignore"):
        lower, upper = sizes.quantiles((0.25, 0.75))
        if lower == upper:
            return none
        outer = OUTER_QUANTILE
        levels = (outer, 0.25, 0.5, 0.75, 1 - outer)
        low, lower, middle, upper, high = sizes.quantiles(levels, upper + 3 * (upper - lower))
        if not 0 < upper - lower < math.inf:
            return none
        heights = _tail_heights(low, middle, high, positive)
        beyond = sizes.beyond(heights)
        mild = max(
            _excess_height(positive, beyond, heights, EXCESS_MILD), upper + 1.5 * (upper - lower)
        )
        far = max(
            _excess_height(positive, beyond, heights, EXCESS_FAR), upper + 3 * (upper - lower)
        )
    if not math.isfinite(far):
        return none
    return replace(none, method="power-tail", mild=float(mild), far=float(far))


def unfenced(sizes: Sizes) -> Fences:
    """Return what is known of values without fences."""
    zeros = 1 - sizes.positive / sizes.count if sizes.count else 0.0
    return Fences(method="rank", count=sizes.count, zeros=zeros, mild=None, far=None)


def _tail_heights(
    low: np.float64, middle: np.float64, high: np.float64, count: int
) -> NDArray[np.float64]:
    """Heights of the predicted tail at ``_SCORES``: normal after the power, and taken back."""
    log_low, log_high = np.log(low / middle), np.log(high / middle)
    smallest, largest = SMALLEST_POWER, 1.0
    # low**p + high**p = 2 (in units of the median) has one root above 0 or none, being convex;
    # the loop then ends at the bound on the root's side.
    for _ in range(60):
        power = (smallest + largest) / 2
        if np.expm1(power * log_low) + np.expm1(power * log_high) > 0:
            largest = power
        else:
            smallest = power
    above, below = np.expm1(power * log_high), np.expm1(power * log_low)
    stretched = _SCORES * (1 + WIDENING / count)
    steps = (stretched / _OUTER_SCORE - 1) / 2  # in widths of the outer quantiles, above the upper
    heights: NDArray[np.float64] = middle * np.exp(
        np.log1p(above + steps * (above - below)) / power
    )
    return heights


def _excess_height(
    positive: int, beyond: Integers, heights: NDArray[np.float64], excess: int
) -> float:
    """Lowest height beyond which lie ``excess`` times as many values as predicted (at least 1)."""
    exceeds = np.maximum(beyond, 1) >= excess * positive * _SHARES_BEYOND
    return float(heights[exceeds.argmax()])
