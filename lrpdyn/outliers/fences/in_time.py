"""Fences over training: each change is compared with those around it, not with the whole run.

Changes shrink while a network learns: a fence over the whole run flags their smooth start and hides a
late spike. So the logarithm of a change is compared with its local trend, the line through the median of
the seven values before it and the median of the seven after (at the ends of the run, of the nearest
fourteen in two halves), which neither the value itself nor a few outliers near it move. What remains has
a spread: 1.4826 times its median absolute deviation. A fence stands where a normal tail of that spread
leaves so few of all values beyond it that a clean run has none: it rises with their number. It is never
nearer to the trend than a factor that a person would call large. A stretch of outliers is found by a
second fence, beside the values nine to seventeen places away.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from lrpdyn.outliers.facts import Floats, Integers

#: Values before, and as many after, that make the trend at a place.
HALF = 7
#: Values on either side that one which is an outlier has to be larger than.
NEAR = 4
#: With fewer transitions, changes are only ranked.
FEWEST = 20
#: The share of the transitions at the beginning that are ranked, not flagged: learning sets in there.
START = 0.2
#: How many false flags, mild and far, a run of independent normal changes has.
FALSE_MILD, FALSE_FAR = 0.03, 0.002
#: The spread is estimated from n values: fences stand 1 + 4 / n times as far.
WIDENING = 4
#: The nearest that a fence may be to the trend, as a factor.
LEAST_MILD, LEAST_FAR = 1.5, 2.0
#: How far away values lie that a stretch of up to eight outliers does not reach, and the nearest that a
#: fence may be to the larger side of these.
AWAY, LEAST_WIDE = (9, 17), 3.0
#: What this share of a sample's changes lies within is usual for it.
OFTEN = 0.95
#: A spread below this, of logarithms, is that of rounding, not of training.
LEAST_SPREAD = 0.05
#: So many values are in memory beside those that trends are made of.
AT_ONCE = 2**20
#: The variance of the median of n normal values is this over n.
_OF_MEDIAN = np.pi / 2


@dataclass(frozen=True, kw_only=True)
class InTime:
    """Values (T, ...) over training, with what is usual around each: its local trend.

    `trend`, `mild` and `far` are in the unit of the values, of their shape; NaN where there is no trend,
    the fences also at the start.
    """

    trend: Floats
    mild: Floats
    far: Floats


def in_time(values: Floats, *, least_far: float = LEAST_FAR) -> InTime:
    """Return the trend and the fences of values (T,) or, of N series side by side, (T, N).

    Of several series each has its own trend, and its own spread where that is larger than the usual
    one of all.

    Parameters
    ----------
    values
        Not negative. Zeros have no logarithm: they take no part.
    least_far
        The nearest that the far fence may be to the trend, as a factor.
    """
    length = len(values)
    logarithms = np.full(values.shape, np.nan)
    np.log(values, out=logarithms, where=values > 0)
    trend = np.fmax(local_trend(logarithms), sides(logarithms, 1, NEAR))
    scale = _relative_spread(length).reshape(-1, *(1,) * (values.ndim - 1))
    late = ((logarithms - trend) / scale)[first_after_start(length) :]
    middle, spread = _middle_and_spread(late)
    # A stretch of outliers is what is around each of them, and hides them: further away it does not.
    around = sides(logarithms, *AWAY, since_before=True)
    known = max(int(np.isfinite(late).sum()), 1)
    unfenced = first_after_start(length) if length >= FEWEST else length
    usual, fences = trend, list[Floats]()
    for expected, least in ((FALSE_MILD, LEAST_MILD), (FALSE_FAR, least_far)):
        score = NormalDist().inv_cdf(1 - expected / known) * (1 + WIDENING / max(length, 1))
        near = trend + np.fmax(middle + score * spread, np.log(least)) * scale
        wide = around + np.fmax(score * spread, np.log(LEAST_WIDE))
        height = np.exp(np.fmin(near, wide))
        if not fences:  # what a stretch of outliers is compared with is further away
            stretch = (logarithms > wide) & ~(logarithms > near)
            usual = np.where(stretch, around, trend)
        height[:unfenced] = np.nan
        fences.append(height)
    return InTime(trend=np.exp(usual), mild=fences[0], far=fences[1])


def first_after_start(length: int) -> int:
    """Return the first of `length` transitions after the start of learning."""
    return int(np.ceil(START * length))


def local_trend(values: Floats) -> Floats:
    """Return the local trend at each of values (T, ...), NaN where too few of them are known.

    A trend needs four values at least, and none of them is the value at the place itself.
    """
    length = len(values)
    half = min(HALF, (length - 1) // 2)
    if half < 2:
        return np.full(values.shape, np.nan)
    around, (before, after) = _neighbours(length, half), _centres(length, half)
    first = medians_at(values, around[:, :half])
    second = medians_at(values, around[:, half:])
    column = (-1, *(1,) * (values.ndim - 1))
    share = (before / (before - after)).reshape(column)  # of the second half, at the place itself
    found: Floats = first + share * (second - first)
    return found


def sides(values: Floats, nearest: int, farthest: int, *, since_before: bool = False) -> Floats:
    """Return the larger of the medians of some values before and of as many after each place.

    Those are `nearest` to `farthest` places away. Where the trend bends, as at the end of a cosine schedule,
    a line misses it, and where a level shifts it lies in between: what is as large as one of its sides is
    no outlier. One side that is known is enough, but with `since_before` it is that before.
    """
    nothing = np.full((farthest, *values.shape[1:]), np.nan)
    padded = np.concatenate([nothing, values, nothing])
    places = np.arange(len(values))[:, None]
    away = np.arange(nearest, farthest + 1)
    before, after = (medians_at(padded, places + farthest + sign * away) for sign in (-1, 1))
    found: Floats = np.fmax(before, after)
    return np.where(np.isnan(before), np.nan, found) if since_before else found


def _neighbours(length: int, half: int) -> Integers:
    """Return the places (T, 2 half) around each place, without itself; at the ends the nearest."""
    places = np.arange(length)[:, None]
    first = np.clip(places - half, 0, length - 2 * half - 1)
    around = first + np.arange(2 * half)
    found: Integers = around + (around >= places)
    return found


def _centres(length: int, half: int) -> tuple[Floats, Floats]:
    """Return how far the middle of each half lies from each place, (T,) and (T,)."""
    away = _neighbours(length, half) - np.arange(length)[:, None]
    # The middle of a median: of a half with a gap in it, at the end of a run, that is not the mean place.
    return np.median(away[:, :half], axis=1), np.median(away[:, half:], axis=1)


def _relative_spread(length: int) -> Floats:
    """Return the spread of what remains at each place over that of independent values, (T,)."""
    half = min(HALF, (length - 1) // 2)
    if half < 2:
        return np.ones(length)
    before, after = _centres(length, half)
    share = before / (before - after)
    found: Floats = np.sqrt(1 + (share**2 + (1 - share) ** 2) * _OF_MEDIAN / half)
    return found


def medians_at(values: Floats, places: Integers) -> Floats:
    """Return the median of the values at the places (T, K) of each row, (T, ...); a part at a time."""
    found = np.empty((len(places), *values.shape[1:]))
    rows = max(1, AT_ONCE // (places.shape[1] * max(1, int(np.prod(values.shape[1:])))))
    for start in range(0, len(places), rows):
        found[start : start + rows] = _median(values[places[start : start + rows]])
    return found


def _median(values: Floats) -> Floats:
    """Return the median over the second axis, NaN aside, NaN where fewer than a third are known."""
    known = np.isfinite(values).sum(axis=1)
    ordered = np.sort(values, axis=1)  # NaN goes to the end
    last = values.shape[1] - 1
    low, high = (
        np.take_along_axis(ordered, np.clip(rank, 0, last)[:, None], axis=1)[:, 0]
        for rank in ((known - 1) // 2, known // 2)
    )
    found: Floats = np.where(3 * known < values.shape[1], np.nan, (low + high) / 2)
    return found


def _quantile(values: Floats, share: float) -> Floats:
    """Return a quantile of each series, NaN aside."""
    known = np.isfinite(values).sum(axis=0)
    if not len(values):
        return np.full(values.shape[1:], np.nan)
    # The two largest are never usual: one bad checkpoint makes as many.
    rank = np.clip(np.minimum(np.ceil(share * known).astype(int) - 1, known - 3), 0, None)
    found: Floats = np.take_along_axis(np.sort(values, axis=0), rank[None], axis=0)[0]
    return found


def _middle_and_spread(rest: Floats) -> tuple[Floats, Floats]:
    """Return the median of each series, and its spread: that of all series where its own is smaller."""
    if not len(rest):
        return np.full(rest.shape[1:], np.nan), np.full(rest.shape[1:], np.nan)
    middle = _median(rest[None])[0]
    away = np.abs(rest - middle)
    spread = 1.4826 * _median(away[None])[0]
    usual = float(np.nanmedian(spread)) if np.isfinite(spread).any() else np.nan
    spread = np.fmax(np.fmax(spread, usual), LEAST_SPREAD)
    if rest.ndim > 1:
        # Some samples jump to and fro between two explanations: that is their usual change.
        spread = np.fmax(spread, _quantile(away, OFTEN) / NormalDist().inv_cdf((1 + OFTEN) / 2))
    return middle, spread
