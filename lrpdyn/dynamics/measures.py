"""What is measured of one map, and of two: NumPy alone, in float64, one sample at a time.

Every measure takes maps (N, C, H, W) or (N, F) and returns a value for each of the N samples. Their
formulae are in ``docs/measures.md``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import UsageError

Array = NDArray[np.float64]

#: Above this, sum(R) is so much smaller than sum|R| that dividing by it magnifies noise.
LARGEST_KAPPA = 3.0


def rows(maps: NDArray[Any]) -> Array:
    """Return maps as (N, entries), float64."""
    return np.asarray(maps.reshape(len(maps), -1), dtype=np.float64)


def pixels(maps: NDArray[Any]) -> NDArray[Any]:
    """Return maps summed over channels, (N, H, W) or (N, T, H, W); features are pixels already."""
    return maps.sum(axis=-3) if maps.ndim > 3 else maps


def normalise(maps: NDArray[np.floating], how: str) -> Array:
    """Return maps (N, ...) as float64, each sample normalised on its own.

    ``none``: as they are; ``sum``: by their sum; ``l1``: by the sum of absolute values; ``max``: by
    the largest absolute value; ``minmax``: to 0..1. An all-zero map stays zero.

    Raises
    ------
    UsageError
        ``sum`` is requested and sum|R| is more than three times |sum R| in some sample.
    """
    if how == "none":
        return np.asarray(maps, dtype=np.float64)
    values = rows(maps)
    total = np.abs(values).sum(axis=1)
    if how == "sum":
        divisor = values.sum(axis=1)
        if bool((total > LARGEST_KAPPA * np.abs(divisor)).any()):
            raise UsageError(
                "--normalize sum: relevance of both signs nearly cancels in some maps (sum|R| is more "
                f"than {LARGEST_KAPPA:g} times |sum R|), so that dividing by the sum magnifies noise; "
                "use --normalize l1"
            )
    elif how == "l1":
        divisor = total
    elif how == "max":
        divisor = np.abs(values).max(axis=1)
    else:
        values = np.where((total > 0)[:, None], values - values.min(axis=1, keepdims=True), 0.0)
        divisor = values.max(axis=1)
    scaled = values / np.where(divisor == 0, 1.0, divisor)[:, None]
    return scaled.reshape(maps.shape)


def entropy(maps: NDArray[np.floating]) -> Array:
    """Return -sum q ln q over pixels, q = |R| summed over channels over its total; NaN if zero."""
    return entropy_of_sizes(pixels(np.abs(np.asarray(maps, dtype=np.float64))))


def entropy_of_sizes(sizes: Array) -> Array:
    """Return the `entropy` of maps whose channel-summed |R| is `sizes`."""
    weights = rows(sizes)
    total = weights.sum(axis=1, keepdims=True)
    q = weights / np.where(total == 0, 1.0, total)
    logarithm = np.log(np.where(q > 0, q, 1.0))
    return np.where(total[:, 0] > 0, np.abs((q * logarithm).sum(axis=1)), np.nan)


def gini_of_ordered(ordered: Array) -> Array:
    """Return the Gini coefficient of maps by their channel-summed |R| in order (N, pixels); NaN if zero.

    0 where all pixels are alike, 1 - 1 / pixels where one has all (Hurley and Rickard 2009).

    >>> gini_of_ordered(np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 4.0]]))
    array([0.  , 0.75])
    """
    count, total = ordered.shape[1], ordered.sum(axis=1)
    weights = (2 * np.arange(1, count + 1) - count - 1) / count
    found = np.einsum("ij,j->i", ordered, weights) / np.where(total == 0, 1.0, total)
    return np.where(total > 0, np.maximum(found, 0.0), np.nan)


def largest_tenth(sizes: Array, ordered: Array) -> NDArray[np.bool_]:
    """Return which pixels (N, pixels) of maps are the tenth whose channel-summed |R| is the largest.

    At least one, with those that tie with the last of them; none that is zero. `ordered` are the sizes of
    each map in order.
    """
    values = rows(sizes)
    place = values.shape[1] - -(-values.shape[1] // 10)
    least = ordered[:, place, None]
    return (values >= least) & (values > 0)


def centres(sizes: Array, axis: int) -> Array:
    """Return the centre of mass of channel-summed |R| (N, ..., H, W) along one of the last axes, from 0.

    NaN where a map is zero.

    >>> centres(np.array([[[0.0, 1.0], [0.0, 1.0]]]), axis=-2)
    array([0.5])
    """
    others = tuple(n for n in range(1, sizes.ndim) if n != sizes.ndim + axis)
    along = sizes.sum(axis=others)
    total = along.sum(axis=1)
    found = np.einsum("ij,j->i", along, np.arange(along.shape[1])) / np.where(
        total == 0, 1.0, total
    )
    return np.where(total > 0, found, np.nan)


def _products(one: Array, other: Array) -> Array:
    found: Array = np.einsum("ij,ij->i", one, other)
    return found


def scale_of_change(
    before: NDArray[Any], after: NDArray[Any], change: NDArray[Any]
) -> tuple[Array, Array, Array]:
    """Return how much of each sample's change R' - R is scale, and by how much the map grew, (N,).

    Scale is the part of the change along the direction common to both maps: with u the first left
    singular vector of the two-column matrix [R, R'], scale = u u'(R' - R); shape is the rest, at right
    angles to it.

    Returns
    -------
    share, factor
        |scale|^2 / |R' - R|^2, NaN if nothing changed; and u . R' / u . R, negative where the map
        turned round, NaN where u . R is zero.
    growth
        The share of |R' - R|^2 that goes away when R is multiplied by the best factor, at most the cosine
        of R and R': of a small map and a large one elsewhere, a factor of zero removes nearly all, and
        nothing grew. NaN if nothing changed.
    """
    one, two, difference = rows(before), rows(after), rows(change)
    gram = np.empty((len(one), 2, 2))
    gram[:, 0, 0] = _products(one, one)
    gram[:, 1, 1] = _products(two, two)
    gram[:, 0, 1] = gram[:, 1, 0] = _products(one, two)
    values, vectors = np.linalg.eigh(gram)
    # u = (a R + b R') / sigma, where (a, b) is an eigenvector: u . R and u . R' are as a and b.
    squared, a, b = values[:, 1], vectors[:, 0, 1], vectors[:, 1, 1]
    of_one = _products(one, difference)
    along = a * of_one + b * _products(two, difference)
    length = _products(difference, difference)
    possible = (length > 0) & (squared > 0)
    # One after the other: the product of two small squares may be below the smallest float.
    share = (along / np.where(possible, squared, 1.0)) * (along / np.where(possible, length, 1.0))
    factor = np.where(np.abs(a) > 1e-12, b / np.where(np.abs(a) > 1e-12, a, 1.0), np.nan)
    sizes = gram[:, 0, 0], gram[:, 1, 1]
    both = possible & (sizes[0] > 0) & (sizes[1] > 0)
    before_size, after_size, size = (np.where(both, one, 1.0) for one in (*sizes, length))
    removed = (of_one / before_size) * (of_one / size)
    cosine = gram[:, 0, 1] / np.sqrt(before_size) / np.sqrt(after_size)
    growth = np.where(both, np.clip(np.minimum(removed, cosine), 0.0, 1.0), 0.0)
    share, growth = (np.where(possible, np.clip(of, 0.0, 1.0), np.nan) for of in (share, growth))
    return share, factor, growth


def cosines(one: NDArray[np.floating], two: NDArray[np.floating]) -> Array:
    """Return the cosine of each sample's two maps, (N,); NaN where one is zero or not finite."""
    a, b = rows(one), rows(two)
    # Half the time of numpy.linalg.norm, which makes the squares before it sums them.
    lengths = np.sqrt(_products(a, a)) * np.sqrt(_products(b, b))
    usable = np.isfinite(lengths) & (lengths > 0)
    products = np.where(usable, _products(a, b), np.nan) / np.where(usable, lengths, 1.0)
    return np.clip(products, -1.0, 1.0)


def ranks(values: Array) -> Array:
    """Return the ranks of each row of (N, entries), from 0; ties share the mean of their ranks.

    >>> ranks(np.array([[5.0, -1.0, 2.0, 2.0]]))
    array([[3. , 0. , 1.5, 1.5]])
    """
    return ranked(values)[0]


def ranked(values: Array) -> tuple[Array, Array]:
    """Return the `ranks` of each row of (N, entries), and its entries in order."""
    result, in_order = np.empty(values.shape), np.empty(values.shape)
    places = np.arange(values.shape[1], dtype=np.float64)
    for row, ranks_of, ordered in zip(values, result, in_order, strict=True):
        order = row.argsort()
        np.take(row, order, out=ordered)
        differ = ordered[1:] != ordered[:-1]
        if differ.all():  # no ties, which is usual
            ranks_of[order] = places
            continue
        starts = np.flatnonzero(np.append(True, differ))  # of groups of ties
        sizes = np.diff(starts, append=len(row))
        ranks_of[order] = np.repeat(starts + (sizes - 1) / 2, sizes)
    return result, in_order


def sizes_in_order(sizes: Array, values: Array, ordered: Array) -> Array:
    """Return the entries of each row of `sizes` (N, entries) in order.

    Where they are those of `values` without their sign, and all of these have one, they are not sorted:
    `ordered`, the `values` in order, has them.
    """
    found = np.empty(sizes.shape)
    for size, value, in_order, row in zip(sizes, values, ordered, found, strict=True):
        if in_order[0] >= 0 and np.array_equal(size, value):
            row[:] = in_order
        elif in_order[-1] <= 0 and np.array_equal(size, -value):
            row[:] = -in_order[::-1]
        else:
            row[:] = np.sort(size)
    return found


def centred_ranks(maps: NDArray[Any]) -> Array:
    """Return the ranks of each sample's entries, whose channels are summed, less their mean."""
    return centred(ranks(rows(maps)))


def centred(found: Array) -> Array:
    """Return `ranks` less their mean."""
    less: Array = found - (found.shape[1] - 1) / 2
    return less


def rank_correlation(one: Array, other: Array) -> float | None:
    """Return the rank correlation of two series (S,); None where one of them does not vary."""
    found = float(cosines(centred_ranks(one[None]), centred_ranks(other[None]))[0])
    return found if np.isfinite(found) else None


def of_pixels(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of maps of `shape`, such as (N, C, H, W) or (N, F), whose channels are summed."""
    return (*shape[:-3], *shape[-2:]) if len(shape) > 3 else shape
