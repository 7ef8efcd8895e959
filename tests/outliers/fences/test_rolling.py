"""Fences in windows: early training is not late training."""

import tracemalloc

import numpy as np
import pytest

from lrpdyn.outliers.fences.fences import fences
from lrpdyn.outliers.fences.rolling import WIDTH, rolling_fences


def falling(transitions: int = 400, samples: int = 6) -> np.ndarray:
    """Changes that fall by two orders of magnitude over training."""
    generator = np.random.default_rng(0)
    level = np.geomspace(10, 0.1, transitions)[:, None]
    return level * generator.lognormal(sigma=0.3, size=(transitions, samples))


def test_a_late_spike_is_found_beside_its_neighbours_only() -> None:
    values = falling()
    values[380, 2] *= 12
    whole = fences(values)
    rolling = rolling_fences(values, whole)
    assert rolling.window == WIDTH
    assert whole.far is not None
    assert values[380, 2] < whole.far
    assert values[380, 2] > rolling.far[380]
    assert (values > rolling.far[:, None]).mean() < 0.005


def test_each_transition_has_the_fence_of_the_window_around_it() -> None:
    values = falling()
    rolling = rolling_fences(values, fences(values))
    expected = fences(values[:WIDTH])
    assert rolling.far[0] == rolling.far[WIDTH // 2] == expected.far
    assert rolling.mild[0] == expected.mild
    assert rolling.far[-1] == fences(values[-WIDTH:]).far


@pytest.mark.parametrize("transitions", [0, 1, 2 * WIDTH - 1])
def test_a_short_run_has_the_fence_of_the_whole(transitions: int) -> None:
    values = falling(transitions)
    whole = fences(values)
    rolling = rolling_fences(values, whole)
    assert rolling.window is None
    expected = np.full(transitions, np.nan if whole.far is None else whole.far)
    np.testing.assert_array_equal(rolling.far, expected)


def test_a_window_without_a_fence_takes_that_of_the_whole() -> None:
    values = falling()
    values[:WIDTH] = 0
    whole = fences(values)
    assert rolling_fences(values, whole).far[0] == whole.far


def test_memory_does_not_take_the_square_of_the_transitions() -> None:
    values = falling(20_000, 1)
    whole = fences(values)
    tracemalloc.start()
    rolling_fences(values, whole)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1000 * len(values)
