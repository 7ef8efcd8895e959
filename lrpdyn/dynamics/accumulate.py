"""Streaming sums over the relevance of successive steps, and the measures of each step.

Samples are worked on in pieces that fit a core's cache, and what is kept of them is on a shelf that
is a file where they are many: memory does not grow with samples, and with steps as their number of
binary digits. Sums are made in float64 from float32 relevance, in the pairs that the places of the
steps give (`lrpdyn.dynamics.tree_sums`), so that they are the same for one run or several interrupted ones,
and for any number of threads.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.formulas import apart
from lrpdyn.dynamics.measures import Array, of_pixels
from lrpdyn.dynamics.one_step import (
    LARGEST,
    Addition,
    Known,
    Measured,
    SamplesOfSteps,
    Step,
    add_step,
)
from lrpdyn.dynamics.scratch import LARGEST_IN_MEMORY, Shelf
from lrpdyn.dynamics.totals import Sums
from lrpdyn.dynamics.tree_sums import PairedSums
from lrpdyn.files.streamed import IN_CACHE, Samples, slices

Result = TypeVar("Result")

#: Pieces that are begun ahead, for each thread.
AHEAD = 2
#: What else is made of the maps of some samples, in float64.
Extra = Callable[[slice, Array], Any]


def _single(shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Return a sample's row and the type of what is kept once, of observations of `shape`."""
    row = of_pixels(shape)[1:]
    return {
        "largest": (row, np.float64), "largest_at": (row, np.int32),
    }  # fmt: skip


def _summed(shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return a sample's row of what is summed, in float64."""
    whole = shape[1:]
    return {
        "total": whole, "magnitude": whole, "coarse": whole, "logarithms": of_pixels(shape)[1:],
    }  # fmt: skip


def size_of_sums(shape: tuple[int, ...], places: int) -> tuple[int, int]:
    """Return the bytes of the sums over so many places: of memory at least, and of files."""
    # As many subtrees are open at once as the fullest number of places has digits 1.
    often = (places + 1).bit_length() - 1
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
    """Sums over the steps added so far; `add` each step once, in order, alone or with the next ones.

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
        self._shelf = Shelf(shape[0], folder)
        for name, (row, kind) in _single(shape).items():
            self._shelf.add(name, row, kind)
        self._sums = PairedSums(self._shelf, _summed(shape))
        self._pieces = list(slices(shape, IN_CACHE))
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads) if threads > 1 and len(self._pieces) > 1 else None
        self._place = 0
        self._first: Step | None = None
        self._last: Step | None = None
        self._previous: Step | None = None
        self._every_second: Step | None = None

    def pass_over(self) -> None:
        """Leave out the checkpoint that is next: its neighbours make a transition."""
        joining = self._sums.join()
        for piece in self._pieces:
            with self._sums.adding(piece) as put:
                for name in self._sums.names:
                    put(joining, name, None)
        self._place += 1

    def add(
        self,
        steps: Sequence[tuple[int, Samples, bool]],
        extra: Extra | None = None,
        known: Mapping[int, Known] | None = None,
    ) -> list[Measured]:
        """Add the raw relevance (N, ...) of successive steps; return what is measured of each.

        Steps that are added together give the same as one after the other, and take less time where
        samples are many: what they sum up to is brought and taken away once for all of them.

        Parameters
        ----------
        steps
            Each with its maps, and whether they are finite: one that is not has no transition to
            either side and no part in the sums. Maps of the steps in `needed` are read again: they
            must stay as they are.
        extra
            What else is to be made of the maps of each piece of the samples, in float64.
        known
            By step, what was measured of it before, where all samples are one piece; it is taken where it
            was compared with the same step.
        """
        additions = [
            self._joined(Step(step=step, maps=maps), finite, (known or {}).get(step))
            for step, maps, finite in steps
        ]
        found = list(self.each(lambda piece: self._add_piece(piece, additions, extra)))
        measured = []
        for addition, of_pieces in zip(additions, zip(*found, strict=True), strict=True):
            columns, extras = zip(*of_pieces, strict=True)
            first, before = addition.first, addition.previous
            measured.append(
                Measured(
                    columns={
                        name: np.concatenate([one[name] for one in columns]) for name in columns[0]
                    },
                    from_step=before.step if addition.finite and before is not None else None,
                    from_step_zero=addition.finite and first is not None and first.step == 0,
                    extra=extras,
                )
            )
        return measured

    def _joined(self, now: Step, finite: bool, known: Known | None) -> Addition:
        """Give the step that is next its place."""
        if self._first is None and finite:
            self._first = now
        before, even = self._previous, self._place % 2 == 0
        if before is None or known is None or known.from_step != before.step:
            known = None
        addition = Addition(
            now=now,
            finite=finite,
            joining=self._sums.join(),
            first=self._first,
            previous=before,
            every_second=self._every_second if even else None,
            transitions=self.transitions,
            known=known,
        )
        if not finite:
            self._previous = self._every_second = None
        else:
            self._every_second = now if even else self._every_second
            self._previous = self._last = now
            self.steps += 1
            self.transitions += before is not None
        self._place += 1
        return addition

    def close(self) -> None:
        """Give files and threads up; nothing can be read afterwards."""
        self._shelf.close()
        if self._pool is not None:
            self._pool.shutdown()

    def each(self, function: Callable[[slice], Result]) -> Iterator[Result]:
        """Yield what `function` gives for each piece of the samples, in order."""
        if self._pool is None:
            yield from map(function, self._pieces)
            return
        begun: deque[Future[Result]] = deque()
        for piece in self._pieces:
            begun.append(self._pool.submit(function, piece))
            if len(begun) >= AHEAD * self._threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()

    @property
    def is_shared(self) -> bool:
        """Whether samples are so many that threads share them."""
        return self._pool is not None

    @property
    def needed(self) -> frozenset[int]:
        """The steps whose maps are read again."""
        held = (self._first, self._last, self._previous, self._every_second)
        return frozenset(one.step for one in held if one is not None)

    def _add_piece(
        self, piece: slice, additions: Sequence[Addition], extra: Extra | None
    ) -> list[tuple[dict[str, Array], Any]]:
        """Add some samples of successive steps; return the columns of each, and what else is made."""
        samples = SamplesOfSteps(piece, self.normalisation)
        found = []
        with self._shelf.taken(piece, LARGEST) as kept, self._sums.adding(piece) as put:
            for addition in additions:
                columns: dict[str, Array] = {}
                if addition.finite:
                    columns = add_step(addition, samples, kept, put)
                else:
                    for name in self._sums.names:
                        put(addition.joining, name, None)
                if addition.known is not None:
                    others = addition.known.extra
                else:
                    maps = samples.of(addition.now).exact
                    others = None if extra is None else extra(piece, maps)
                found.append((columns, others))
                samples.forget_all_but(addition.first, addition.previous, addition.now)
        return found

    def of(self, piece: slice) -> Sums:
        """Return the sums of some samples."""
        found = {**self._sums.total(piece), **self._shelf.read(piece, LARGEST)}
        net = np.zeros(found["total"].shape)
        if self._first is not None and self._last is not None:
            samples = SamplesOfSteps(piece, self.normalisation)
            net = apart(samples.of(self._last).maps, samples.of(self._first).maps)
        return Sums(steps=self.steps, net=net, **found)

    def maps(self, names: Sequence[str]) -> Iterator[tuple[dict[str, NDArray[np.float32]], Array]]:
        """Yield the maps of these names, of `lrpdyn.run.layout.MAPS`, piece by piece.

        With them comes what `lrpdyn.dynamics.totals.Sums.products` gives; its sum over all pieces is what
        `lrpdyn.dynamics.totals.summary` compares the maps by.
        """

        def of_piece(piece: slice) -> tuple[dict[str, NDArray[np.float32]], Array]:
            sums = self.of(piece)
            return {name: getattr(sums, name) for name in names}, sums.products()

        return self.each(of_piece)
