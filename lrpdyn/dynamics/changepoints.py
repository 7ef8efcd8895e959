"""Series cut into segments, each of which is described by its mean: exact searches.

A segment costs the sum of squared distances of its vectors from their mean. That is the sum of their
squares, which all cuts have alike, less the square of their sum over their number: what the mean gains.
So the cut that costs least is the one that gains most.

Of cuts that gain the same to the last bit, the one whose last border is the earliest is taken; of these,
the one whose border before it is the earliest, and so on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

#: So many ends of segments are searched at once: enough for a product of matrices to pay, few enough
#: for their gains to stay in the processor's cache.
BLOCK = 64
#: OpenBLAS shares larger products among threads (more multiplications than this), which then wait for one
#: another: of a hundred small ones a second, on a processor that has other work, that takes most of the time.
SMALL_PRODUCT = 2**18
#: The search takes the square of the steps: of more than this, stretches are cut first.
MOST_STEPS = 5000


def cut_into(values: Floats, most: int, shortest: int) -> list[tuple[int, ...]]:
    """Cut a series into one segment, two, and so on, at the least cost of each number.

    By dynamic programming (Bellman 1961, "On the approximation of curves by line segments using
    dynamic programming").

    Parameters
    ----------
    values
        (S, D), a vector for each step.
    most
        The largest number of segments.
    shortest
        A segment has at least so many steps.

    Returns
    -------
    list
        The borders of each number of segments, up to `most` or as many as there is room for. A border
        is the first step of a segment; the first segment has none.
    """
    steps = len(values)
    sums = _running_sums(values)
    numbers = max(1, min(most, steps // shortest))
    # Of all steps before one, in one segment more than the row's number: what they gain, and where
    # the last segment begins.
    gained = np.full((numbers, steps + 1), -np.inf)
    begins = np.zeros(gained.shape, dtype=np.int64)
    for first in range(shortest, steps + 1, BLOCK):
        ends = np.arange(first, min(first + BLOCK, steps + 1))
        starts = np.arange(ends[-1] - shortest + 1)
        gains = _gains(sums, starts, ends)
        late = slice(first - shortest + 1, None)  # too late for some of the ends
        gains[:, late][ends[:, None] - starts[late] < shortest] = -np.inf
        gained[0, ends] = gains[:, 0]
        for number in range(1, numbers):
            totals = gained[number - 1, starts] + gains
            best = totals.argmax(axis=1)
            begins[number, ends] = best
            gained[number, ends] = totals[np.arange(len(ends)), best]
    return [_borders(begins[number:0:-1], steps) for number in range(numbers)]


def _borders(begins: Places, steps: int) -> tuple[int, ...]:
    """Go back from the end: each row says where the segment begins that ends at a step."""
    borders = [steps]
    for row in begins:
        borders.append(int(row[borders[-1]]))
    return tuple(borders[:0:-1])


def means_of_stretches(values: Floats, length: int) -> Floats:
    """Return the mean of each `length` successive vectors; the last may be of fewer."""
    starts = np.arange(0, len(values), length)
    counts = np.diff([*starts, len(values)])
    return np.add.reduceat(values, starts, axis=0) / counts[:, None]


def cut_where_worth(values: Floats, penalty: float, shortest: int) -> tuple[int, ...]:
    """Cut a series where each border lowers the cost by more than a penalty.

    Of more than `MOST_STEPS`, the means of stretches of equal length are cut, and each border is then
    put where it costs least within a stretch to either side.

    Parameters
    ----------
    values
        (S, D), a vector for each step.
    penalty
        What each border costs.
    shortest
        A segment has at least so many steps.

    Returns
    -------
    tuple
        The borders, each the first step of a segment; the first segment has none.
    """
    length = -(-len(values) // MOST_STEPS)
    if length <= 1:
        return _cut_exactly(values, penalty, shortest)
    # A mean stands for so many steps: what it is away from its segment's costs as often.
    means = means_of_stretches(values, length)
    coarse = _cut_exactly(means, penalty / length, max(2, -(-shortest // length)))
    borders = [0, *(border * length for border in coarse), len(values)]
    for n in range(len(coarse), 0, -1):
        # The last stretch may be of fewer steps, and the last segment too short with it.
        borders[n] = min(borders[n], borders[n + 1] - shortest)
    sums = _running_sums(values)
    for n in range(1, len(borders) - 1):
        before, after = borders[n - 1], borders[n + 1]
        left = max(borders[n] - length, before + shortest)
        right = min(borders[n] + length, after - shortest)
        near = np.arange(left, right + 1)
        first = _gains(sums, np.array([before]), near)[:, 0]
        second = _gains(sums, near, np.array([after]))[0]
        borders[n] = int(near[(first + second).argmax()])
    return tuple(borders[1:-1])


def _cut_exactly(values: Floats, penalty: float, shortest: int) -> tuple[int, ...]:
    """Return the cut of a short series.

    By dynamic programming that drops starts which can no longer be the best (PELT; Killick et al.
    2012, "Optimal detection of changepoints with a linear computational cost").
    """
    steps = len(values)
    sums = _running_sums(values)
    gained = np.full(steps + 1, -np.inf)
    gained[0] = 0.0
    begins = np.zeros(steps + 1, dtype=np.int64)
    # From this end on, a start need not be searched.
    leaves = np.full(steps + 1, steps + 1)
    starts = np.zeros(0, dtype=np.int64)
    for end in range(shortest, steps + 1):
        starts = np.append(starts[leaves[starts] > end], end - shortest)
        totals = gained[starts] + _gains(sums, starts, np.array([end]))[0]
        best = totals.argmax()
        begins[end], gained[end] = starts[best], totals[best] - penalty
        # A border here is better than to go on from these, as soon as a segment can begin here.
        beaten = starts[totals < gained[end]]
        leaves[beaten] = np.minimum(leaves[beaten], end + shortest)
    borders = [steps]
    while begins[borders[-1]] > 0:
        borders.append(int(begins[borders[-1]]))
    return tuple(borders[:0:-1])


def _running_sums(values: Floats) -> Floats:
    """Return the sum of the vectors before each step and of all, (S + 1, D)."""
    sums = np.zeros((len(values) + 1, values.shape[1]))
    if len(values):
        # What all have in common gains nothing, and would take the digits of what differs.
        np.cumsum(values - values.mean(axis=0), axis=0, out=sums[1:])
    return sums


def _gains(sums: Floats, starts: Places, ends: Places) -> Floats:
    """Return what the segments from each start up to each end gain, (ends, starts).

    What stands where a start is not before an end has no meaning.
    """
    # Sums since the first end: those of a short segment are small, and lose no digits to what lies
    # far away.
    before, after = sums[starts] - sums[ends[0]], sums[ends] - sums[ends[0]]
    gains = np.empty((len(ends), len(starts)))
    width = max(1, SMALL_PRODUCT // max(1, after.size))
    for left in range(0, len(starts), width):
        few = slice(left, left + width)
        np.matmul(-2 * after, before[few].T, out=gains[:, few])
    gains += (before * before).sum(axis=1)
    gains += (after * after).sum(axis=1)[:, None]
    gains /= np.maximum(ends[:, None] - starts, 1)
    return gains
