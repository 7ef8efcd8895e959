"""Streaming sums over the relevance of successive steps, and the measures of each step.

Samples are worked on in pieces that fit a core's cache, and what is kept of them is on a shelf that
is a file where they are many: memory does not grow with samples, and with steps as their number of
binary digits. Sums are made in float64 from float32 relevance, in the pairs that the places of the
steps give (`lrpdyn.pairwise`), so that they are the same for one run, several interrupted ones, or
parts of one that were made apart, and for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lrpdyn.measured import Measures, Transition, joined
from lrpdyn.measures import (
    Array,
    centred_ranks,
    cosines,
    entropy_of_sizes,
    normalise,
    pixels,
    rows,
    scale_of_change,
)
from lrpdyn.pairwise import Joining, PairedSums
from lrpdyn.parts import Part, SavedPart, save_part
from lrpdyn.run import of_pixels
from lrpdyn.stored import LARGEST_IN_MEMORY, Maps, Shelf, pieces
from lrpdyn.sums import Sums, summary

Result = TypeVar("Result")

_LARGEST = ("largest", "largest_at")


@dataclass(frozen=True)
class _Step:
    """A step that later ones are compared with."""

    step: int
    maps: Maps


def _single(shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Return a sample's row and the type of what is kept once, of observations of `shape`."""
    row = of_pixels(shape)[1:]
    return {
        "largest": (row, np.float64), "largest_at": (row, np.int32),
        "ranks": ((math.prod(row),), np.float32),
    }  # fmt: skip


def _summed(shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return a sample's row of what is summed, in float64."""
    whole = shape[1:]
    return {
        "total": whole, "magnitude": whole, "coarse": whole, "logarithms": of_pixels(shape)[1:],
    }  # fmt: skip


def size_of_sums(shape: tuple[int, ...], places: range) -> tuple[int, int]:
    """Return the bytes of the sums over so many places: of memory at least, and of files."""
    # As many subtrees are open at once as the fullest number of places has digits 1.
    often = 1 if places.start else (len(places) + 1).bit_length() - 1
    rows = [math.prod(row) * np.dtype(kind).itemsize for row, kind in _single(shape).values()]
    rows += [math.prod(row) * 8 for row in _summed(shape).values()] * often
    in_memory = in_files = 0
    for size in (shape[0] * row for row in rows):
        if in_memory + size <= LARGEST_IN_MEMORY:
            in_memory += size
        else:
            in_files += size
    return in_memory, in_files


class Dynamics:
    """Sums over the steps added so far; `add` each step once, in order.

    Every checkpoint of the series has a place, from 0 on. Every second one, for which sums are made
    too, is the one at an even place.

    Parameters
    ----------
    shape
        Of the observations, (N, C, H, W) or (N, F).
    normalisation
        Of the copies that differences are made from.
    folder
        Where temporary files may be made, for very many samples.
    threads
        How many pieces are worked on at once.
    begin
        The place of the first step that is added.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        normalisation: str = "none",
        folder: Path | None = None,
        threads: int = 1,
        begin: int = 0,
    ) -> None:
        self.normalisation = normalisation
        self.steps = 0
        self.transitions = 0
        self.shape = shape
        self._shelf = Shelf(shape[0], folder)
        for name, (row, kind) in _single(shape).items():
            self._shelf.add(name, row, kind)
        self._sums = PairedSums(self._shelf, _summed(shape))
        self._pieces = pieces(shape)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 and len(self._pieces) > 1 else None
        self._begin = self._place = begin
        self._first: _Step | None = None
        self._last: _Step | None = None
        self._previous: _Step | None = None
        self._every_second: _Step | None = None

    def take_up(
        self, first: tuple[int, Maps] | None, before: Sequence[tuple[int, int, Maps]]
    ) -> None:
        """Have at hand what was before the first place that is added: no part of the sums.

        Parameters
        ----------
        first
            The first finite step of the run and its maps, if it was before.
        before
            Place, step and maps of the last finite steps, in order, back to one at an even place or
            to one that is not finite; what could not be loaded is left out.
        """
        self._first = None if first is None else _Step(*first)
        even = [_Step(step, maps) for place, step, maps in before if place % 2 == 0]
        self._every_second = even[-1] if even else None
        if before:
            _, step, maps = before[-1]
            self._previous = _Step(step, maps)
            list(self.each(lambda piece: self._rank(piece, maps)))

    def _rank(self, piece: slice, maps: Maps) -> None:
        exact = normalise(maps[piece].astype(np.float64), self.normalisation)
        self._shelf.write(piece, "ranks", centred_ranks(exact))

    def pass_over(self) -> None:
        """Leave out the checkpoint that is next: its neighbours make a transition."""
        self._put_nothing()

    def add(self, step: int, relevance: Maps) -> tuple[Measures, Transition | None]:
        """Add the raw relevance (N, ...) of a step; return its measures and its transition.

        A step that is not finite has no transition to either side and no part in the sums. Maps of
        the steps in `needed` are read again: they must stay as they are.
        """
        if not all(self.each(lambda piece: bool(np.isfinite(relevance[piece]).all()))):
            self._put_nothing()
            self._previous = self._every_second = None
            nothing = np.full(self.shape[0], np.nan)
            return Measures(nothing, nothing, nothing, nothing, nothing, False), None
        now, before = _Step(step, relevance), self._previous
        if self._first is None:
            self._first = now
        joining = self._sums.join((0, self._place))
        found = list(self.each(lambda piece: self._add_piece(piece, now, joining)))
        measures = joined(Measures, [one for one, _ in found], self._first.step == 0)
        transition = None
        if before is not None:
            changes = [change for _, change in found if change is not None]
            transition = joined(Transition, changes, before.step, step)
            self.transitions += 1
        if self._place % 2 == 0:
            self._every_second = now
        self._previous = self._last = now
        self.steps += 1
        self._place += 1
        return measures, transition

    def _put_nothing(self) -> None:
        joining = self._sums.join((0, self._place))
        for name in self._sums.names:
            for piece in self._pieces:
                self._sums.put(joining, piece, name, None)
        self._place += 1

    def save(self, folder: Path) -> None:
        """Write the sums into a folder, to be put together with those of other places."""
        first, last = self._first, self._last
        part = Part(
            self._begin, self._place, self.steps, self.transitions,
            None if first is None else first.step, None if last is None else last.step,
            self._sums.nodes,
        )  # fmt: skip
        save_part(
            folder,
            part,
            {name: partial(self._largest, name) for name in _LARGEST},
            {(name, node): partial(self._sums.of_node, name, node)
             for node in part.nodes for name in self._sums.names},
            (None if first is None else first.maps, None if last is None else last.maps),
            self.shape[0],
        )  # fmt: skip

    def _largest(self, name: str, piece: slice) -> NDArray[Any]:
        return self._shelf.read(piece, [name])[name]

    def append(self, saved: SavedPart) -> None:
        """Add the sums of the places that come next, made elsewhere."""
        part = saved.part
        for node in part.nodes:
            joining = self._sums.join(node)
            for name in self._sums.names:
                stored = saved.of_node(name, node)
                for piece in self._pieces:
                    self._sums.put(joining, piece, name, stored[piece])
        largest, largest_at = (saved.array(name) for name in _LARGEST)
        for piece in self._pieces:
            with self._shelf.taken(piece, _LARGEST) as sums:
                # Of equal ones the first counts.
                larger = (found := largest[piece]) > sums["largest"]
                sums["largest"][larger] = found[larger]
                sums["largest_at"][larger] = largest_at[piece][larger] + self.transitions
        if self._first is None and part.first is not None:
            self._first = _Step(part.first, saved.first_map)
        if part.last is not None:
            self._last = _Step(part.last, saved.last_map)
        self.steps += part.steps
        self.transitions += part.transitions
        self._place = part.end

    def close(self) -> None:
        """Give files and threads up; nothing can be read afterwards."""
        self._shelf.close()
        if self._pool is not None:
            self._pool.shutdown()

    def each(self, function: Callable[[slice], Result]) -> Iterator[Result]:
        """Return what `function` gives for each piece of the samples, in order."""
        return (map if self._pool is None else self._pool.map)(function, self._pieces)

    @property
    def needed(self) -> frozenset[int]:
        """The steps whose maps are read again."""
        held = (self._first, self._last, self._previous, self._every_second)
        return frozenset(one.step for one in held if one is not None)

    def _add_piece(
        self, piece: slice, now: _Step, joining: Joining
    ) -> tuple[tuple[Array, ...], tuple[Array, ...] | None]:
        """Add some samples; return the columns of their `Measures` and `Transition`."""
        # In float64 from here on; what is made of it is not written to.
        exact = now.maps[piece].astype(np.float64)
        size = np.abs(exact)
        maps = normalise(exact, self.normalisation)
        self._add_size(joining, piece, size if maps is exact else np.abs(maps))
        coarse, difference, change = None, None, None
        if self._place % 2 == 0 and self._every_second is not None:
            coarse = _apart(maps, self._maps(self._every_second, piece))
        self._sums.put(joining, piece, "coarse", coarse)
        del coarse  # memory that is given back early is used again while it is in the cache
        with self._shelf.taken(piece, [*_LARGEST, "ranks"]) as kept:
            ranks = centred_ranks(maps)
            if self._previous is not None:
                before = self._maps(self._previous, piece)
                difference = maps - before
                alike = scale_of_change(before, maps, difference)
                np.abs(difference, out=difference)
                change = (
                    rows(difference).sum(axis=1),
                    *alike,
                    cosines(pixels(before), pixels(maps)),
                    cosines(kept["ranks"], ranks),
                )
                self._keep_largest(difference, kept)
            kept["ranks"][...] = ranks
        self._sums.put(joining, piece, "total", difference)
        measures = (
            rows(exact).sum(axis=1),
            rows(size).sum(axis=1),
            entropy_of_sizes(pixels(size)),
            *self._distances(exact, maps, piece, now),
        )
        return measures, change

    def _distances(
        self, exact: Array, maps: Array, piece: slice, now: _Step
    ) -> tuple[Array, Array]:
        """Return how far maps are from the first step's, and how far when both are L1-normalised."""
        assert self._first is not None
        if self._first is now:
            return np.zeros(len(maps)), np.zeros(len(maps))
        raw = self._first.maps[piece].astype(np.float64)
        first = normalise(raw, self.normalisation)
        apart = _apart(normalise(exact, "l1"), normalise(raw, "l1"))
        return rows(_apart(maps, first)).sum(axis=1), rows(apart).sum(axis=1)

    def _add_size(self, joining: Joining, piece: slice, size: Array) -> None:
        self._sums.put(joining, piece, "magnitude", size)
        size = pixels(size)
        logarithms = size * np.log(np.where(size > 0, size, 1.0))
        self._sums.put(joining, piece, "logarithms", logarithms)

    def _maps(self, step: _Step, piece: slice) -> Array:
        return normalise(step.maps[piece].astype(np.float64), self.normalisation)

    def _keep_largest(self, difference: Array, kept: dict[str, NDArray[Any]]) -> None:
        of_pixels = pixels(difference)
        larger = of_pixels > kept["largest"]
        kept["largest"][larger] = of_pixels[larger]
        kept["largest_at"][larger] = self.transitions

    def of(self, piece: slice) -> Sums:
        """Return the sums of some samples."""
        found = {**self._sums.total(piece), **self._shelf.read(piece, _LARGEST)}
        net = np.zeros(found["total"].shape)
        if self._first is not None and self._last is not None:
            net = np.abs(self._maps(self._last, piece) - self._maps(self._first, piece))
        return Sums(self.steps, net, **found)

    def map_of(self, name: str) -> Iterator[NDArray[np.float32]]:
        """Yield a map of `lrpdyn.run.MAPS` piece by piece."""
        for piece in self._pieces:
            found: NDArray[np.float32] = getattr(self.of(piece), name)
            yield found

    def summary(self) -> dict[str, float | None]:
        """Return what the maps are worth beside each other.

        ``alike_mean_relevance``: cosine of Dynamics to the sum of |R_i|; ``net_share``: sum of net
        change over sum of Dynamics; ``every_second_share`` and ``alike_every_second``: the same sums,
        and the cosine, of the Dynamics of every second checkpoint. None where there is no path.
        """
        of_pieces = self.each(lambda piece: self.of(piece).products())
        return summary(np.sum(list(of_pieces), axis=0))


def _apart(one: Array, other: Array) -> Array:
    """Return |one - other|."""
    found: Array = one - other
    return np.abs(found, out=found)
