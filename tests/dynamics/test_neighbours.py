"""Steps measured where they are explained: the same numbers, taken where they are of the same two steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lrpdyn.dynamics.accumulate import Dynamics
from lrpdyn.dynamics.columns import measured
from lrpdyn.dynamics.neighbours import Neighbours
from lrpdyn.dynamics.one_step import Known, Measured
from lrpdyn.errors import UsageError
from lrpdyn.files.streamed import IN_CACHE

MAPS = np.random.default_rng(0).normal(size=(12, 3, 2, 4, 5)).astype(np.float32)
MAPS[5, 1, 0, 0, 0] = np.nan
COMPARED_WITH_THE_FIRST = {"distance_from_first", "distance_from_first_l1"}


def largest(piece: slice, maps: NDArray[np.float64]) -> Any:
    return maps.max(axis=(1, 2, 3))


def in_blocks(size: int, how: str = "l1") -> dict[int, Known]:
    """Measure all steps as workers do, each of which has blocks of a size."""
    neighbours = Neighbours(MAPS.shape[1:], how, largest)
    found = {}
    for step, maps in enumerate(MAPS):
        if step % size == 0:
            neighbours.begin()
        known = neighbours.measure(step, maps, finite=bool(np.isfinite(maps).all()))
        if known is not None:
            found[step] = known
    return found


def added(known: dict[int, Known]) -> list[Measured]:
    dynamics = Dynamics(MAPS.shape[1:], "l1")
    steps = [(step, maps, bool(np.isfinite(maps).all())) for step, maps in enumerate(MAPS)]
    return dynamics.add(steps, largest, known)


@pytest.mark.parametrize("size", [1, 4, 12])
def test_columns_are_those_of_who_adds_however_steps_are_shared(size: int) -> None:
    known = in_blocks(size)
    there = {step for step in range(12) if step % size and step not in (5, 6)}
    assert known.keys() == there
    for one, other in zip(added({}), added(known), strict=True):
        assert (one.from_step, list(one.columns)) == (other.from_step, list(other.columns))
        for name, column in one.columns.items():
            np.testing.assert_array_equal(column, other.columns[name], err_msg=name)
        np.testing.assert_array_equal(one.extra, other.extra)


def test_what_is_known_is_not_measured_again_and_only_of_the_same_two_steps() -> None:
    known = in_blocks(12)
    every = measured("step").keys() | measured("transition").keys()
    assert known[3].columns.keys() == every - COMPARED_WITH_THE_FIRST
    marked = Known(from_step=2, columns={"gini": np.full(3, 7.0)}, extra=np.full(3, 8.0))
    taken, others = added({3: marked}), added({})
    assert (taken[3].columns["gini"] == 7).all()
    assert (taken[3].extra[0] == 8).all()
    elsewhere = Known(from_step=1, columns=marked.columns, extra=marked.extra)
    for step, known_here in ((3, elsewhere), (6, marked), (0, marked)):
        found = added({step: known_here})[step]
        np.testing.assert_array_equal(found.columns["gini"], others[step].columns["gini"])
        np.testing.assert_array_equal(found.extra, others[step].extra)


def test_many_samples_are_left_to_the_threads_that_add_them() -> None:
    row = 4 * 84 * 84
    assert Neighbours((IN_CACHE // row, 4, 84, 84), "none", largest).measures
    assert not Neighbours((IN_CACHE // row + 1, 4, 84, 84), "none", largest).measures


def test_maps_that_cannot_be_normalised_are_refused_by_who_adds_them() -> None:
    known = in_blocks(12, "sum")
    dynamics = Dynamics(MAPS.shape[1:], "sum")
    with pytest.raises(UsageError, match="nearly cancels"):
        dynamics.add([(step, MAPS[step], True) for step in (0, 1)], largest, known)
