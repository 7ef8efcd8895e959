"""One step added to the sums over steps, for some samples: what is summed, and what is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.measures import (
    Array,
    centred_ranks,
    cosines,
    entropy_of_sizes,
    normalise,
    pixels,
    rows,
    scale_of_change,
)
from lrpdyn.dynamics.tree_sums import Joining, Put
from lrpdyn.files.stored import Maps

#: The largest change of each pixel so far, and the transition that it came with.
LARGEST = ("largest", "largest_at")
#: What is kept of the steps so far besides sums: those, and the ranks of the last step's pixels.
KEPT = (*LARGEST, "ranks")


@dataclass(frozen=True)
class Step:
    """A step that is added, or that later ones are compared with."""

    step: int
    maps: Maps


@dataclass(frozen=True)
class Addition:
    """A step that is added, and what it is compared with.

    `transitions` is the number of those before it.
    """

    now: Step
    finite: bool
    joining: Joining
    first: Step | None
    previous: Step | None
    every_second: Step | None
    transitions: int


class Samples:
    """Some samples of a step's maps in float64, and what is asked of them more than once.

    None of it is written to.
    """

    def __init__(self, exact: Array, normalisation: str) -> None:
        self.exact, self._normalisation = exact, normalisation

    @cached_property
    def maps(self) -> Array:
        """The maps, normalised."""
        return normalise(self.exact, self._normalisation)

    @cached_property
    def pixels(self) -> Array:
        """The normalised maps, channels summed."""
        return pixels(self.maps)

    @cached_property
    def shares(self) -> Array:
        """The maps, L1-normalised."""
        return normalise(self.exact, "l1")


class Held:
    """Some samples of several steps, each read once while it is needed."""

    def __init__(self, piece: slice, normalisation: str) -> None:
        self._piece, self._normalisation = piece, normalisation
        self._steps: dict[int, Samples] = {}

    def of(self, step: Step) -> Samples:
        """Return the samples of a step."""
        if step.step not in self._steps:
            exact = step.maps[self._piece].astype(np.float64)
            self._steps[step.step] = Samples(exact, self._normalisation)
        return self._steps[step.step]

    def forget_all_but(self, *steps: Step | None) -> None:
        """Let go of the samples of other steps."""
        needed = {one.step for one in steps if one is not None}
        self._steps = {step: samples for step, samples in self._steps.items() if step in needed}


def add_step(
    addition: Addition, held: Held, kept: dict[str, NDArray[Any]], put: Put
) -> tuple[tuple[Array, ...], tuple[Array, ...] | None]:
    """Add some samples of a step; return the columns of their `Measures` and `Transition`.

    Parameters
    ----------
    kept
        The arrays of `KEPT`, which are brought up to this step.
    put
        Adds to the sums, `lrpdyn.dynamics.tree_sums.PairedSums.adding`.
    """
    now = held.of(addition.now)
    maps, size = now.maps, np.abs(now.exact)
    sizes = size if maps is now.exact else np.abs(maps)
    put(addition.joining, "magnitude", sizes)
    of_pixels = pixels(sizes)
    logarithms = of_pixels * np.log(np.where(of_pixels > 0, of_pixels, 1.0))
    put(addition.joining, "logarithms", logarithms)
    coarse = None
    if addition.every_second is not None:
        coarse = _apart(maps, held.of(addition.every_second).maps)
    put(addition.joining, "coarse", coarse)
    del coarse  # memory that is given back early is used again while it is in the cache
    ranks, difference, change = centred_ranks(now.pixels), None, None
    if addition.previous is not None:
        before = held.of(addition.previous)
        difference = maps - before.maps
        alike = scale_of_change(before.maps, maps, difference)
        np.abs(difference, out=difference)
        change = (
            rows(difference).sum(axis=1),
            *alike,
            cosines(before.pixels, now.pixels),
            cosines(kept["ranks"], ranks),
        )
        _keep_largest(difference, kept, addition.transitions)
    kept["ranks"][...] = ranks
    put(addition.joining, "total", difference)
    measures = (
        rows(now.exact).sum(axis=1),
        rows(size).sum(axis=1),
        entropy_of_sizes(of_pixels if sizes is size else pixels(size)),
        *_distances(addition, held),
    )
    return measures, change


def _distances(addition: Addition, held: Held) -> tuple[Array, Array]:
    """Return how far maps are from the first step's, and how far when both are L1-normalised."""
    assert addition.first is not None
    now, first = held.of(addition.now), held.of(addition.first)
    if first is now:
        return np.zeros(len(now.maps)), np.zeros(len(now.maps))
    apart, of_shares = _apart(now.maps, first.maps), _apart(now.shares, first.shares)
    return rows(apart).sum(axis=1), rows(of_shares).sum(axis=1)


def _keep_largest(difference: Array, kept: dict[str, NDArray[Any]], transitions: int) -> None:
    of_pixels = pixels(difference)
    larger = of_pixels > kept["largest"]
    kept["largest"][larger] = of_pixels[larger]
    kept["largest_at"][larger] = transitions


def _apart(one: Array, other: Array) -> Array:
    """Return |one - other|."""
    found: Array = one - other
    return np.abs(found, out=found)


Result = TypeVar("Result")


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
class OfRandom:
    """What the maps of random networks measure, means over the networks.

    `entropy` is (N,), `shares` of regions (R, N), None where there are no regions.
    """

    entropy: Array
    shares: Array | None


def joined(kind: Callable[..., Result], parts: Sequence[tuple[Array, ...]], *rest: Any) -> Result:
    """Put the columns of all pieces together; `rest` is what is no column, by its place."""
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return kind(*rest, *columns) if kind is Transition else kind(*columns, *rest)
