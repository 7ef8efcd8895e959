"""Sums over places whose last bits do not depend on how the places were grouped.

Places 0, 1, 2, ... are the leaves of a binary tree, in which every sum is that of its left half plus
that of its right half. Any stretch of places is made up of a few whole subtrees; stretches that are
put together in order give the subtrees, and so the bits, of all places in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from lrpdyn.dynamics.measures import Array
from lrpdyn.dynamics.scratch import Shelf

#: A subtree: its level, and its number among those of that level. (0, 7) is place 7, (2, 1) the sum
#: of places 4 to 7.
Node = tuple[int, int]


@dataclass(frozen=True)
class Joining:
    """What is done to the sums of a node that comes next: `left` are the shelves of those that it
    is added to, the nearest first, and `into` is where the sum goes."""

    left: tuple[int, ...]
    into: int


#: Adds the values of a node to one of the arrays.
Put = Callable[[Joining, str, Array | None], None]


class PairedSums:
    """Arrays by name, summed over places that are added in order; kept on a shelf.

    Parameters
    ----------
    shelf
        Where the sums of open subtrees are kept: as many as there are binary digits in the number of
        places, at most, and twice as many where they do not begin with 0.
    rows
        The shape of a sample's row in each array.
    """

    def __init__(self, shelf: Shelf, rows: Mapping[str, tuple[int, ...]]) -> None:
        self._shelf, self._rows = shelf, dict(rows)
        self._shelves: dict[Node, int] = {}
        self._free: list[int] = []
        self._made = 0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._rows)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The subtrees that make up the places so far, in order."""
        return tuple(self._shelves)

    def join(self, node: Node) -> Joining:
        """Have the next node take its place; what `adding` gives must be called with it for each piece
        of the samples and each array."""
        level, index = node
        left: list[int] = []
        while index % 2 and (level, index - 1) in self._shelves:
            left.append(self._shelves.pop((level, index - 1)))
            level, index = level + 1, index // 2
        into = left[-1] if left else self._free.pop() if self._free else self._new()
        self._free += left[:-1]
        self._shelves[level, index] = into
        return Joining(tuple(left), into)

    @contextmanager
    def adding(self, piece: slice) -> Iterator[Put]:
        """Give what adds values of some samples to an array, for any number of nodes in order.

        None is zero. Sums that later nodes within have taken in are never put on the shelf.
        """
        made: dict[str, Array | None] = {}

        def put(joining: Joining, name: str, value: Array | None) -> None:
            for shelf in joining.left:
                place = _place(name, shelf)
                before = made.pop(place) if place in made else self._read(name, shelf, piece)
                if before is not None:
                    value = before if value is None else before + value
            made[_place(name, joining.into)] = value

        yield put
        for place, value in made.items():
            self._shelf.write(piece, place, 0.0 if value is None else value)

    def total(self, piece: slice) -> dict[str, Array]:
        """Return the sums over all places, of some samples."""
        return {name: self._folded(name, piece) for name in self._rows}

    def of_node(self, name: str, node: Node, piece: slice) -> Array:
        """Return what one subtree sums up to."""
        return self._read(name, self._shelves[node], piece)

    def _folded(self, name: str, piece: slice) -> Array:
        # The subtrees that are not whole yet are those of a tree that goes on with zeros.
        found: Array | None = None
        for shelf in reversed(self._shelves.values()):
            value = self._read(name, shelf, piece)
            found = value if found is None else value + found
        assert found is not None
        return found

    def _read(self, name: str, shelf: int, piece: slice) -> Array:
        place = _place(name, shelf)
        found: Array = self._shelf.read(piece, [place])[place]
        return found

    def _new(self) -> int:
        for name, shape in self._rows.items():
            self._shelf.add(_place(name, self._made), shape, float)
        self._made += 1
        return self._made - 1


def _place(name: str, shelf: int) -> str:
    return f"{name} {shelf}"
