"""The values of a population, however many: read a piece at a time, never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.files.streamed import Samples, pieces
from lrpdyn.outliers.facts import Floats, Integers

#: So many values are sorted at once; quantiles of more are found by counting.
_SORTED = 2**20
#: Digits of this many bits are counted at once.
_BITS = 16


class Sizes:
    """Values that are not negative, float32 or float64, read a piece at a time.

    Parameters
    ----------
    values
        Of any shape; in memory, or samples that are read when they are needed.

    Raises
    ------
    ValueError
        On first use: a value is NaN, infinite or negative.
    """

    def __init__(self, values: NDArray[np.floating] | Samples) -> None:
        self._values = values.reshape(-1) if isinstance(values, np.ndarray) else values
        self.count = prod(values.shape)

    def _pieces(self) -> Iterator[NDArray[np.floating]]:
        for piece in pieces(self._values):
            yield piece.reshape(-1)

    @cached_property
    def positive(self) -> int:
        """How many values are above zero."""
        bad: dict[str, tuple[int, int, float]] = {}
        found, start = 0, 0
        for piece in self._pieces():
            for problem, where in (("not finite", ~np.isfinite(piece)), ("negative", piece < 0)):
                if where.any():
                    first = int(where.argmax())
                    number, *before = bad.get(problem, (0, start + first, float(piece[first])))
                    bad[problem] = (number + int(where.sum()), int(before[0]), before[1])
            found += int(np.count_nonzero(piece > 0))
            start += len(piece)
        for problem in ("not finite", "negative"):
            if problem in bad:
                number, index, value = bad[problem]
                raise ValueError(
                    f"fences: {number} of {self.count} values are {problem}, the first at index"
                    f" {index} ({value}); expected finite values >= 0; leave out steps that are"
                    " not finite, and pass absolute differences"
                )
        return found

    def quantiles(self, levels: Sequence[float], most: float = np.inf) -> Floats:
        """Return quantiles of the positive values up to `most`, as `numpy.quantile` has them."""
        limit = np.float64(most)

        def counted() -> Iterator[NDArray[np.floating]]:
            return (piece[(piece > 0) & (piece <= limit)] for piece in self._pieces())

        count = sum(len(piece) for piece in counted())
        if count <= _SORTED:
            values = np.concatenate([*counted()]).astype(np.float64)
            return np.quantile(values, levels, overwrite_input=True)
        places = (count - 1) * np.asarray(levels, dtype=np.float64)
        below = np.floor(places).astype(np.int64)
        ranks = np.unique(np.concatenate([below, np.minimum(below + 1, count - 1)]))
        at = dict(zip(ranks.tolist(), _ranked(counted, ranks).tolist(), strict=True))
        return np.array(
            [
                np.quantile([at[low], at[min(low + 1, count - 1)]], place - low)
                for low, place in zip(below.tolist(), places, strict=True)
            ]
        )

    def beyond(self, heights: Floats) -> Integers:
        """Return how many values lie beyond each of some heights, which rise."""
        found = np.zeros(len(heights), dtype=np.int64)
        for piece in self._pieces():
            tail = np.sort(piece[piece > heights[0]])
            found += tail.size - np.searchsorted(tail, heights, side="right")
        return found

    def between(self, low: float, high: float, most: int) -> Floats:
        """Return the values above `low` and up to `high`, in order; every so many, of more than `most`."""
        inside = -int(np.diff(self.beyond(np.array([low, high])))[0])
        every, passed, found = max(1, -(-inside // most)), 0, []
        for piece in self._pieces():
            part = piece[(piece > np.float64(low)) & (piece <= np.float64(high))]
            found.append(part[-passed % every :: every].astype(np.float64))
            passed += len(part)
        return np.concatenate(found)

    def strongest(self, most: int) -> tuple[list[int], Floats]:
        """Return the places of the largest values, largest first, ties by place, and the values."""
        places, values, start = np.zeros(0, dtype=np.int64), np.zeros(0), 0
        for piece in self._pieces():
            candidates = np.arange(len(piece))
            if len(piece) > most:
                least = np.partition(piece, len(piece) - most)[len(piece) - most]
                above, level = np.flatnonzero(piece > least), np.flatnonzero(piece == least)
                candidates = np.sort(np.concatenate([above, level[: most - len(above)]]))
            places = np.concatenate([places, start + candidates])
            values = np.concatenate([values, piece[candidates].astype(np.float64)])
            order = np.argsort(-values, kind="stable")[:most]
            places, values = places[order], values[order]
            start += len(piece)
        return [int(place) for place in places], values


def _ranked(read: Callable[[], Iterator[NDArray[np.floating]]], ranks: Integers) -> Floats:
    """Return the values of some ranks among positive ones, which rank as their bits do.

    Digit by digit, the highest first: how many values share the digits so far, and which digit
    comes next at each rank.
    """
    kind: Any = np.dtype(np.float64)
    for piece in read():
        kind = piece.dtype
        break
    bits: Any = np.dtype(f"u{kind.itemsize}")
    known = np.zeros(len(ranks), dtype=bits)
    within = ranks.copy()
    for shift in range(8 * kind.itemsize - _BITS, -1, -_BITS):
        counts = {prefix: np.zeros(2**_BITS, dtype=np.int64) for prefix in set(known.tolist())}
        first = shift + _BITS == 8 * kind.itemsize
        for piece in read():
            values = piece.view(bits)
            above = None if first else values >> bits.type(shift + _BITS)
            for prefix, count in counts.items():
                those = values if above is None else values[above == bits.type(prefix)]
                digits = (those >> bits.type(shift)) & bits.type(2**_BITS - 1)
                count += np.bincount(digits.astype(np.int64), minlength=2**_BITS)
        for place, prefix in enumerate(known.tolist()):
            ends = np.cumsum(counts[prefix])
            digit = int(np.searchsorted(ends, within[place], side="right"))
            within[place] -= ends[digit] - counts[prefix][digit]
            known[place] = (prefix << _BITS) | digit
    found: Floats = known.view(kind).astype(np.float64)
    return found
