"""How far out in the tail a value lies: for ranking, not as a probability to rely on."""

from __future__ import annotations

import numpy as np

from lrpdyn.outliers.facts import Floats
from lrpdyn.outliers.fences import FEWEST_VALUES, Fences

#: The tail begins above this share of the positive values.
BEGIN = 0.9
#: Severities end here: beyond it the fitted tail says nothing that a person could use.
LARGEST = 300.0


def tail_severity(values: Floats, fence: Fences, of: Floats) -> Floats:
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
    positive = values[values > 0]
    if fence.mild is None or positive.size < FEWEST_VALUES:
        return result
    threshold = float(np.quantile(positive, BEGIN))
    excess = positive[(positive > threshold) & (positive <= fence.mild)] - threshold
    if excess.size < 5 or threshold == 0:
        return result
    shape, scale = _fit(excess)
    # Of all values, zeros included, this share is beyond the threshold.
    beyond = float((values > threshold).mean())
    above = of > threshold
    distance = (of[above] - threshold) / scale
    orders = np.log1p(shape * distance) / shape if shape > 0 else distance
    result[above] = np.minimum(orders / np.log(10) - np.log10(beyond), LARGEST)
    return result


def _fit(excess: Floats) -> tuple[float, float]:
    """Return shape (0 or more) and scale of the tail."""
    from scipy.stats import genpareto

    mean = float(excess.mean())
    shape, _, scale = genpareto.fit(excess / mean, floc=0)
    return (float(shape), float(scale) * mean) if shape > 0 else (0.0, mean)
