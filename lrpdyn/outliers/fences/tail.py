"""How far out in the tail a value lies: for ranking, not as a probability to rely on."""

from __future__ import annotations

import numpy as np

from lrpdyn.outliers.facts import Floats
from lrpdyn.outliers.fences.fences import FEWEST_VALUES, Fences
from lrpdyn.outliers.fences.sizes import Sizes

#: The tail begins above this share of the positive values.
BEGIN = 0.9
#: Severities end here: beyond it the fitted tail says nothing that a person could use.
LARGEST = 300.0
#: A tail is fitted to so many excesses, evenly spaced ones of more.
MOST_FITTED = 2**17
#: Of the logarithm of an interval over 15 orders of magnitude: down to the last bits of a number.
_HALVINGS = 60


def tail_severity(values: Floats | Sizes, fence: Fences, of: Floats) -> Floats:
    """Return -log10 of the share of values that a fitted tail predicts beyond each value.

    A generalised Pareto distribution is fitted, by maximum likelihood, to the excesses over the .90
    quantile of the positive values that lie below the mild fence: a fit that takes in the outliers
    hides them (Siffer et al. 2017, peaks over threshold). A tail that would end is taken as
    exponential, so that severity keeps rising with the value.

    Parameters
    ----------
    values
        The whole population, any shape.
    fence
        Its fences.
    of
        Values to judge.

    Returns
    -------
    ndarray
        Severity of each, 0 to 300; NaN at or below the threshold, or where nothing can be fitted.
    """
    result = np.full(of.shape, np.nan)
    sizes = values if isinstance(values, Sizes) else Sizes(values)
    if fence.mild is None or sizes.positive < FEWEST_VALUES:
        return result
    threshold = float(sizes.quantiles([BEGIN])[0])
    excess = sizes.between(threshold, fence.mild, MOST_FITTED) - threshold
    if excess.size < 5 or threshold == 0:
        return result
    shape, scale = _fit(excess)
    # Of all values, zeros included, this share is beyond the threshold.
    beyond = float(sizes.beyond(np.array([threshold]))[0]) / sizes.count
    above = of > threshold
    distance = (of[above] - threshold) / scale
    orders = np.log1p(shape * distance) / shape if shape > 0 else distance
    result[above] = np.minimum(orders / np.log(10) - np.log10(beyond), LARGEST)
    return result


def _fit(excess: Floats) -> tuple[float, float]:
    """Return shape (0 or more) and scale of the tail.

    The likelihood has its peak in one number, the ratio of the two (Grimshaw 1993, "Computing maximum
    likelihood estimates for the generalized Pareto distribution"): where its slope is zero, which
    halving an interval finds. `scipy.stats` finds the same, and takes a second to be loaded.
    """
    mean = float(excess.mean())
    values = excess / mean
    if float((values**2).mean()) <= 2:  # the slope at 0: no heavier than an exponential
        return 0.0, mean
    low, high = 1e-6, 1e9
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        shape = np.log1p(middle * values).mean()
        slope = middle * (values / (1 + middle * values)).mean() * (1 + 1 / shape)
        low, high = (middle, high) if slope < 1 else (low, middle)
    shape = float(np.log1p(low * values).mean())
    return shape, shape / low * mean
