"""Streaming sums over the relevance of successive steps, and the measures of each step.

Samples are worked on in pieces that fit a core's cache, and what is kept of them is on a shelf that
is a file where they are many: memory does not grow with steps or samples. Sums are made in float64
from float32 relevance, one step after the other, so that they are the same for one run or several
interrupted ones, and for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

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
from lrpdyn.stored import LARGEST_IN_MEMORY, Shelf, Stored, pieces, shelf_bytes
from lrpdyn.sums import Sums

#: The maps (N, ...) of a step, in memory or in a file.
Maps = NDArray[np.float32] | Stored
Result = TypeVar("Result")

_SUMS = ("total", "magnitude", "coarse", "logarithms", "largest", "largest_at")


@dataclass(frozen=True)
class Measures:
    """What one step gives, for each of N samples."""

    relevance_sum: Array
    relevance_l1: Array
    entropy: Array
    distance_from_first: Array
    distance_from_first_l1: Array
    from_step_zero: bool


@dataclass(frozen=True)
class Transition:
    """What happens between two successive steps, for each of N samples."""

    from_step: int
    to_step: int
    change: Array
    scale_share: Array
    scale_factor: Array
    cosine: Array
    rank_similarity: Array


@dataclass(frozen=True)
class _Step:
    """A step that later ones are compared with."""

    step: int
    maps: Maps


def _rows(shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Return the shape of a row and the type of each array that is kept of observations of `shape`."""
    of_pixels = shape[2:] if len(shape) == 4 else shape[1:]
    whole, single = (shape[1:], np.float64), (of_pixels, np.float64)
    return {
        "total": whole, "magnitude": whole, "coarse": whole, "logarithms": single,
        "largest": single, "largest_at": (of_pixels, np.int32),
        "ranks": ((math.prod(of_pixels),), np.float32),
    }  # fmt: skip


def size_of_sums(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the bytes that the sums over observations of `shape` take: of memory, and of disk.

    Those of every second step are left out: two steps have none.
    """
    arrays = _rows(shape)
    in_memory = shelf_bytes(arrays, shape[0]) <= LARGEST_IN_MEMORY
    del arrays["coarse"]
    total = shelf_bytes(arrays, shape[0])
    return (total, 0) if in_memory else (0, total)


class Dynamics:
    """Sums over the steps added so far; `add` each step once, in order.

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
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        normalisation: str = "none",
        folder: Path | None = None,
        threads: int = 1,
    ) -> None:
        self.normalisation = normalisation
        self.steps = 0
        self.transitions = 0
        self.shape = shape
        self._shelf = Shelf(_rows(shape), shape[0], folder)
        self._pieces = pieces(shape)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 and len(self._pieces) > 1 else None
        self._first: _Step | None = None
        self._last: _Step | None = None
        self._previous: _Step | None = None
        self._every_second: _Step | None = None
        self._is_second = False

    def add(self, step: int, relevance: Maps) -> tuple[Measures, Transition | None]:
        """Add the raw relevance (N, ...) of a step; return its measures and its transition.

        A step that is not finite has no transition to either side and no part in the sums. Maps of
        the steps in `needed` are read again: they must stay as they are.
        """
        if not all(self.each(lambda piece: bool(np.isfinite(relevance[piece]).all()))):
            self._previous = self._every_second = None
            nothing = np.full(self.shape[0], np.nan)
            return Measures(nothing, nothing, nothing, nothing, nothing, False), None
        now, before = _Step(step, relevance), self._previous
        if self._first is None:
            self._first = now
        self._is_second = self._every_second is None or not self._is_second
        found = list(self.each(lambda piece: self._add_piece(piece, now)))
        measures = _joined(Measures, [one for one, _ in found], self._first.step == 0)
        transition = None
        if before is not None:
            changes = [change for _, change in found if change is not None]
            transition = _joined(Transition, changes, before.step, step)
            self.transitions += 1
        if self._is_second:
            self._every_second = now
        self._previous = self._last = now
        self.steps += 1
        return measures, transition

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
        self, piece: slice, now: _Step
    ) -> tuple[tuple[Array, ...], tuple[Array, ...] | None]:
        """Add some samples; return the columns of their `Measures` and `Transition`."""
        # In float64 from here on; what is made of it is not written to.
        exact = now.maps[piece].astype(np.float64)
        size = np.abs(exact)
        maps = normalise(exact, self.normalisation)
        magnitude = size if maps is exact else np.abs(maps)
        names = [*_SUMS, "ranks"]
        if not self._is_second or self._every_second is None:
            names.remove("coarse")
        with self._shelf.taken(piece, names) as sums:
            sums["magnitude"] += magnitude
            of_pixels = pixels(magnitude)
            sums["logarithms"] += of_pixels * np.log(np.where(of_pixels > 0, of_pixels, 1.0))
            if "coarse" in sums and self._every_second is not None:
                sums["coarse"] += _apart(maps, self._maps(self._every_second, piece))
            ranks, change = centred_ranks(maps), None
            if self._previous is not None:
                change = self._change(self._maps(self._previous, piece), maps, sums, ranks)
            sums["ranks"][...] = ranks
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

    def _maps(self, step: _Step, piece: slice) -> Array:
        return normalise(step.maps[piece].astype(np.float64), self.normalisation)

    def _change(
        self, before: Array, after: Array, sums: dict[str, NDArray[Any]], ranks: Array
    ) -> tuple[Array, ...]:
        change = after - before
        share, factor = scale_of_change(before, after, change)
        difference = np.abs(change, out=change)
        sums["total"] += difference
        of_pixels = pixels(difference)
        larger = of_pixels > sums["largest"]
        sums["largest"][larger] = of_pixels[larger]
        sums["largest_at"][larger] = self.transitions
        return (
            rows(difference).sum(axis=1),
            share,
            factor,
            cosines(pixels(before), pixels(after)),
            cosines(sums["ranks"], ranks),
        )

    def of(self, piece: slice) -> Sums:
        """Return the sums of some samples."""
        found = self._shelf.read(piece, _SUMS)
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
        known = dict(zip(Sums.PRODUCTS, np.sum(list(of_pieces), axis=0).tolist(), strict=True))
        path = known["path"]

        def number(value: float, divisor: float) -> float | None:
            return value / divisor if path > 0 and divisor > 0 and np.isfinite(value) else None

        def alike(name: str) -> float | None:
            found = number(known[f"total {name}"], math.sqrt(known["total"] * known[name]))
            return None if found is None else min(found, 1.0)

        return {
            "alike_mean_relevance": alike("magnitude"),
            "net_share": number(known["net"], path),
            "every_second_share": number(known["every second"], path),
            "alike_every_second": alike("coarse"),
        }


def _apart(one: Array, other: Array) -> Array:
    """Return |one - other|."""
    found: Array = one - other
    return np.abs(found, out=found)


def _joined(kind: Callable[..., Result], parts: Sequence[tuple[Array, ...]], *rest: Any) -> Result:
    """Put the columns of all pieces together; `rest` is what is no column, by its place."""
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return kind(*rest, *columns) if kind is Transition else kind(*columns, *rest)
