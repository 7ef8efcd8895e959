"""What is measured of the maps of a step, and of two successive ones: a function for each column.

Each takes some samples of a step and returns a value for each of them; those of a transition are called
where there is a step before. They are listed in `lrpdyn.dynamics.columns`, and explained in
``docs/measures.md``.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.measures import (
    Array,
    centred,
    centres,
    cosines,
    entropy_of_sizes,
    gini_of_ordered,
    largest_tenth,
    normalise,
    pixels,
    ranked,
    rows,
    scale_of_change,
    sizes_in_order,
)


class Samples:
    """Some samples of a step's maps in float64, and what is needed of them more than once.

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

    @cached_property
    def size(self) -> Array:
        """The absolute value of the maps."""
        return np.abs(self.exact)

    @cached_property
    def pixel_size(self) -> Array:
        """The absolute value of the maps, channels summed."""
        return pixels(self.size)

    @cached_property
    def ranked(self) -> tuple[Array, Array]:
        """The centred ranks of the pixels of the normalised maps, and these pixels in order."""
        ranks, ordered = ranked(rows(self.pixels))
        return centred(ranks), ordered

    @cached_property
    def sizes_in_order(self) -> Array:
        """The pixels of `pixel_size` in order, (N, pixels)."""
        return sizes_in_order(rows(self.pixel_size), rows(self.pixels), self.ranked[1])

    @cached_property
    def largest_tenth(self) -> NDArray[np.bool_]:
        """Which pixels of the raw maps are the tenth that is the largest in size."""
        return largest_tenth(self.pixel_size, self.sizes_in_order)


class FirstUnknownError(LookupError):
    """A formula compares with the first finite step where only neighbours are known."""


class StepMaps:
    """Some samples of a step, and of the steps that it is compared with.

    None of it is written to.

    Attributes
    ----------
    now, first
        The step, and the first finite one, which may be the same; `FirstUnknownError` where it is not known.
    previous
        The step before; None where no transition leads to this.
    """

    def __init__(self, now: Samples, first: Samples | None, previous: Samples | None) -> None:
        self.now, self._first, self.previous = now, first, previous

    @property
    def first(self) -> Samples:
        """The first finite step."""
        if self._first is None:
            raise FirstUnknownError
        return self._first

    @property
    def raw_size(self) -> Array:
        """The absolute value of the maps."""
        return self.now.size

    @cached_property
    def size(self) -> Array:
        """The absolute value of the normalised maps."""
        is_raw = self.now.maps is self.now.exact
        return self.raw_size if is_raw else np.abs(self.now.maps)

    @cached_property
    def pixel_size(self) -> Array:
        """The absolute value of the normalised maps, channels summed."""
        return self.raw_pixel_size if self.size is self.raw_size else pixels(self.size)

    @property
    def raw_pixel_size(self) -> Array:
        """The absolute value of the maps, channels summed."""
        return self.now.pixel_size

    @cached_property
    def _signed(self) -> Array:
        """The difference of the normalised maps to those of the step before."""
        assert self.previous is not None
        return self.now.maps - self.previous.maps

    @cached_property
    def difference(self) -> Array:
        """The absolute value of that difference."""
        return np.abs(self._signed)

    @cached_property
    def _scale(self) -> tuple[Array, Array, Array]:
        """The share of the change that is scale, its factor, and growth: one arithmetic."""
        assert self.previous is not None
        return scale_of_change(self.previous.maps, self.now.maps, self._signed)


def apart(one: Array, other: Array) -> Array:
    """Return |one - other|."""
    found: Array = one - other
    return np.abs(found, out=found)


def _sums(values: Array) -> Array:
    total: Array = rows(values).sum(axis=1)
    return total


def relevance_sum(step: StepMaps) -> Array:
    """Return the sum of the raw relevance."""
    return _sums(step.now.exact)


def relevance_l1(step: StepMaps) -> Array:
    """Return the sum of the absolute raw relevance."""
    return _sums(step.raw_size)


def entropy(step: StepMaps) -> Array:
    """Return the entropy of the raw maps over pixels."""
    return entropy_of_sizes(step.raw_pixel_size)


def distance_from_first(step: StepMaps) -> Array:
    """Return the sum of absolute differences to the first finite step."""
    if step.first is step.now:
        return np.zeros(len(step.now.exact))
    return _sums(apart(step.now.maps, step.first.maps))


def distance_from_first_l1(step: StepMaps) -> Array:
    """Return `distance_from_first` of L1-normalised maps."""
    if step.first is step.now:
        return np.zeros(len(step.now.exact))
    return _sums(apart(step.now.shares, step.first.shares))


def gini(step: StepMaps) -> Array:
    """Return the Gini coefficient of raw maps over pixels (`lrpdyn.dynamics.measures.gini_of_ordered`)."""
    return gini_of_ordered(step.now.sizes_in_order)


def top_kept(step: StepMaps) -> Array:
    """Return the share of the largest tenth of pixels that was among it at the step before.

    NaN where there is no step before, or no relevance at this one.
    """
    if step.previous is None:
        return np.full(len(step.now.exact), np.nan)
    now, before = step.now.largest_tenth, step.previous.largest_tenth
    count = now.sum(axis=1)
    return np.where(count > 0, (now & before).sum(axis=1) / np.maximum(count, 1), np.nan)


def center_row(step: StepMaps) -> Array:
    """Return the row of the centre of mass of the raw maps; NaN of what is no picture."""
    return _centre(step, axis=-2)


def center_column(step: StepMaps) -> Array:
    """Return the column of the centre of mass of the raw maps; NaN of what is no picture."""
    return _centre(step, axis=-1)


def _centre(step: StepMaps, axis: int) -> Array:
    if step.now.exact.ndim < 4:
        return np.full(len(step.now.exact), np.nan)
    return centres(step.raw_pixel_size, axis)


def change(step: StepMaps) -> Array:
    """Return the sum of absolute differences to the step before."""
    return _sums(step.difference)


def scale_share(step: StepMaps) -> Array:
    """Return the share of the change that is scale (`lrpdyn.dynamics.measures.scale_of_change`)."""
    return step._scale[0]


def scale_factor(step: StepMaps) -> Array:
    """Return by how much the map grew (`lrpdyn.dynamics.measures.scale_of_change`)."""
    return step._scale[1]


def growth_share(step: StepMaps) -> Array:
    """Return the share of the change that is growth (`lrpdyn.dynamics.measures.scale_of_change`)."""
    return step._scale[2]


def cosine(step: StepMaps) -> Array:
    """Return the cosine of the pixels to those of the step before."""
    assert step.previous is not None
    return cosines(step.previous.pixels, step.now.pixels)


def rank_similarity(step: StepMaps) -> Array:
    """Return the rank correlation of the pixels with those of the step before."""
    assert step.previous is not None
    return cosines(step.previous.ranked[0], step.now.ranked[0])
