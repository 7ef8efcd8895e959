"""Sums are those of a binary tree over the places, however many places are added at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrpdyn.dynamics.scratch import Shelf
from lrpdyn.dynamics.tree_sums import PairedSums

SAMPLE = slice(0, 1)


def in_halves(values: np.ndarray) -> float:
    """The sum by its definition: of a left half, the largest power of two, and of the rest."""
    if len(values) == 1:
        return float(values[0])
    half = 1 << (len(values) - 1).bit_length() - 1
    return in_halves(values[:half]) + in_halves(values[half:])


@given(st.integers(1, 140), st.lists(st.integers(1, 20), min_size=1, max_size=9))
@settings(max_examples=100, deadline=None)
def test_sums_are_those_of_halves_however_many_are_added_at_once(
    count: int, sizes: list[int]
) -> None:
    values = np.random.default_rng(count).lognormal(sigma=9, size=count)
    shelf = Shelf(1, None)
    sums = PairedSums(shelf, {"x": ()})
    left = list(values)
    while left:
        size = sizes[len(left) % len(sizes)]
        with sums.adding(SAMPLE) as put:
            for value in left[:size]:
                put(sums.join(), "x", np.array([value]))
        del left[:size]
    assert sums.total(SAMPLE)["x"] == in_halves(values)
    assert sums.total(SAMPLE)["x"] == pytest.approx(values.sum(), rel=1e-14)
    assert len(shelf._arrays) <= count.bit_length()


def test_nothing_is_zero() -> None:
    sums = PairedSums(Shelf(2, None), {"x": (3,), "y": ()})
    for number in range(5):
        with sums.adding(slice(0, 2)) as put:
            joining = sums.join()
            put(joining, "x", None)
            put(joining, "y", np.full(2, number) if number % 2 else None)
    total = sums.total(slice(1, 2))
    assert total["x"].tolist() == [[0, 0, 0]]
    assert total["y"].tolist() == [4]
