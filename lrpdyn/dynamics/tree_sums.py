"""Sums over places that are added in order, whose rounding grows as the digits of their number do.

Places 0, 1, 2, ... are the leaves of a binary tree, in which every sum is that of its left half plus
that of its right half: the sum of a hundred thousand steps is as exact as that of seventeen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce

from lrpdyn.dynamics.measures import Array
from lrpdyn.dynamics.scratch import Shelf

#: Where the sums of a place go: the shelves of the subtrees that it completes, the nearest first, and
#: the one where the sum of all of them is kept.
Joining = tuple[tuple[int, ...], int]
#: Adds the values of a place to one of the arrays.
Put = Callable[[Joining, str, Array | None], None]


class PairedSums:
    """Arrays by name, summed over places that are added in order; kept on a shelf.

    Parameters
    ----------
    shelf
        Where the sums of open subtrees are kept: as many as the number of places has binary digits,
        at most.
    rows
        The shape of a sample's row in each array.
    """

    def __init__(self, shelf: Shelf, rows: Mapping[str, tuple[int, ...]]) -> None:
        self._shelf, self._rows, self.names = shelf, dict(rows), tuple(rows)
        self._places = 0
        #: The shelves of open subtrees, the largest first, and those that are free again.
        self._open: list[int] = []
        self._free: list[int] = []
        self._made = 0

    def join(self) -> Joining:
        """Return where the next place goes; what `adding` gives must be called with it for each piece
        of the samples and each array."""
        left: list[int] = []
        places = self._places
        while places % 2:
            left.append(self._open.pop())
            places //= 2
        into = left[-1] if left else self._free.pop() if self._free else self._new()
        self._free += left[:-1]
        self._open.append(into)
        self._places += 1
        return tuple(left), into

    @contextmanager
    def adding(self, piece: slice) -> Iterator[Put]:
        """Give what adds values of some samples to an array, for any number of places in order.

        None is zero. Sums that later places within have taken in are never put on the shelf.
        """
        made: dict[str, Array | None] = {}

        def put(joining: Joining, name: str, value: Array | None) -> None:
            left, into = joining
            for shelf in left:
                place = _place(name, shelf)
                before = made.pop(place) if place in made else self._read(name, shelf, piece)
                if before is not None:
                    value = before if value is None else before + value
            made[_place(name, into)] = value

        yield put
        for place, value in made.items():
            self._shelf.write(piece, place, 0.0 if value is None else value)

    def total(self, piece: slice) -> dict[str, Array]:
        """Return the sums over all places, of some samples."""
        # The subtrees that are not whole yet are those of a tree that goes on with zeros.
        found = {}
        for name in self.names:
            values = (self._read(name, shelf, piece) for shelf in reversed(self._open))
            found[name] = reduce(lambda after, before: before + after, values)
        return found

    def _read(self, name: str, shelf: int, piece: slice) -> Array:
        place = _place(name, shelf)
        return self._shelf.read(piece, [place])[place]

    def _new(self) -> int:
        for name, shape in self._rows.items():
            self._shelf.add(_place(name, self._made), shape, float)
        self._made += 1
        return self._made - 1


def _place(name: str, shelf: int) -> str:
    return f"{name} {shelf}"
