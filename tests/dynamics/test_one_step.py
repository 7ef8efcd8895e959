"""One step that is added: what it brings to the sums, and what is measured of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from lrpdyn.dynamics.columns import measured
from lrpdyn.dynamics.one_step import Addition, SamplesOfSteps, Step, add_step
from lrpdyn.dynamics.scratch import Shelf
from lrpdyn.dynamics.tree_sums import PairedSums

SAMPLES = slice(0, 3)
MAPS = np.random.default_rng(0).normal(size=(5, 3, 2, 4, 5)).astype(np.float32)
ROWS = {"total": (2, 4, 5), "magnitude": (2, 4, 5), "coarse": (2, 4, 5), "logarithms": (4, 5)}


def added(maps: np.ndarray) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Add all steps of a series; return the sums, what is kept, and what is measured."""
    sums = PairedSums(Shelf(3, None), ROWS)
    kept = {
        "largest": np.zeros((3, 4, 5)),
        "largest_at": np.zeros((3, 4, 5), dtype=np.int32),
    }
    steps = [Step(step=10 * place, maps=values) for place, values in enumerate(maps)]
    samples, found = SamplesOfSteps(SAMPLES, "none"), []
    for place, now in enumerate(steps):
        addition = Addition(
            now=now,
            finite=True,
            joining=sums.join(),
            first=steps[0],
            previous=steps[place - 1] if place else None,
            every_second=steps[place - 2] if place and place % 2 == 0 else None,
            transitions=max(place - 1, 0),
        )
        with sums.adding(SAMPLES) as put:
            found.append(add_step(addition, samples, kept, put))
    return sums.total(SAMPLES), kept, found


def test_sums_are_those_of_numpy() -> None:
    sums, _, _ = added(MAPS)
    exact = MAPS.astype(np.float64)
    np.testing.assert_allclose(sums["total"], np.abs(np.diff(exact, axis=0)).sum(axis=0))
    np.testing.assert_allclose(sums["magnitude"], np.abs(exact).sum(axis=0))
    np.testing.assert_allclose(sums["coarse"], np.abs(np.diff(exact[::2], axis=0)).sum(axis=0))
    sizes = np.abs(exact).sum(axis=2)
    np.testing.assert_allclose(sums["logarithms"], (sizes * np.log(sizes)).sum(axis=0))


def test_the_largest_change_of_a_pixel_is_kept_with_its_transition() -> None:
    _, kept, _ = added(MAPS)
    changes = np.abs(np.diff(MAPS.astype(np.float64), axis=0)).sum(axis=2)
    np.testing.assert_allclose(kept["largest"], changes.max(axis=0))
    np.testing.assert_array_equal(kept["largest_at"], changes.argmax(axis=0))


def test_a_step_without_one_before_has_no_transition() -> None:
    _, _, (first, *others) = added(MAPS)
    assert set(first) == set(measured("step"))
    for found, (one, other) in zip(others, pairwise(MAPS), strict=True):
        assert set(found) == {*measured("step"), *measured("transition")}
        expected = np.abs(other.astype(np.float64) - one).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(found["change"], expected)


def test_samples_of_a_step_are_read_once_until_they_are_forgotten() -> None:
    one, other = (Step(step=step, maps=MAPS[step]) for step in (0, 1))
    samples = SamplesOfSteps(slice(1, 3), "l1")
    first, second = samples.of(one), samples.of(other)
    np.testing.assert_array_equal(first.exact, MAPS[0, 1:3])
    assert np.abs(second.maps).sum(axis=(1, 2, 3)) == pytest.approx([1, 1])
    samples.forget_all_but(other, None)
    assert samples.of(other) is second
    assert samples.of(one) is not first
