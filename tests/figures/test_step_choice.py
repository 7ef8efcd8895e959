"""Choosing and loading transitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrpdyn.errors import RunError, UsageError
from lrpdyn.figures.step_choice import choose_steps, load_maps


def test_few_steps_are_all_kept() -> None:
    assert choose_steps([1, 5, 7], 8) == [0, 1, 2]
    assert choose_steps([3], 8) == [0]


def test_many_steps_are_evenly_spaced_in_the_logarithm() -> None:
    assert choose_steps(range(0, 1_000_001, 1_000), 5) == [0, 5, 31, 177, 1000]
    # Of a run that goes on from another, training since its first step counts.
    assert choose_steps(range(9_000_000, 10_000_001, 1_000), 5) == [0, 5, 31, 177, 1000]


def test_flagged_steps_are_kept_before_others_the_strongest_first() -> None:
    steps = range(0, 1_000, 10)
    assert set(choose_steps(steps, 6, [500, 700])) >= {0, 50, 70, 99}
    assert choose_steps(steps, 4, [500, 700, 600]) == [0, 50, 70, 99]
    # A step that has no map cannot be shown.
    assert len(choose_steps(steps, 4, [505])) == 4


@given(count=st.integers(2, 40), size=st.integers(1, 300), seed=st.integers(0, 99))
def test_first_and_last_are_kept_and_as_many_as_asked(count: int, size: int, seed: int) -> None:
    gaps = np.random.default_rng(seed).lognormal(3, 3, size).astype(np.int64) + 1
    steps = np.cumsum(gaps).tolist()
    chosen = choose_steps(steps, count, steps[::7])
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, len(steps))
    assert (chosen[0], chosen[-1]) == (0, len(steps) - 1)


@pytest.mark.parametrize(("steps", "count"), [(0, 8), (5, 1)])
def test_nothing_to_choose_is_refused(steps: int, count: int) -> None:
    with pytest.raises(UsageError, match=f"found {steps} and {count}"):
        choose_steps(range(steps), count)


def test_differences_are_summed_after_the_absolute_value() -> None:
    maps = {10: np.array([1.0, -1.0]), 20: np.array([-1.0, 1.0])}
    found = load_maps([10, 20], [0], lambda step: maps[step].reshape(2, 1, 1), (2, 1, 1))
    assert found.maps.tolist() == [[[0.0]]]
    assert found.differences.tolist() == [[[4.0]]]
    assert not found.sums_alone


def test_of_sums_over_channels_differences_are_of_sums() -> None:
    maps = {10: np.full((2, 3), 1.0), 20: np.full((2, 3), -1.5)}
    found = load_maps([10, 20], [0, 1], maps.__getitem__, (4, 2, 3))
    assert found.maps.shape == (2, 2, 3)
    np.testing.assert_array_equal(found.differences, np.full((1, 2, 3), 2.5))
    assert found.sums_alone


def test_each_difference_is_to_the_next_of_all_steps() -> None:
    steps = [10, 20, 30, 40, 50, 60]
    found = load_maps(
        steps, [0, 2, 4], lambda step: np.full((1, 1, 1), float(step) ** 2), (1, 1, 1)
    )
    assert found.maps.ravel().tolist() == [100, 900, 2500]
    assert found.differences.ravel().tolist() == [300, 700, 1100]


def test_each_map_is_loaded_once_and_no_other() -> None:
    loaded = []

    def relevance(step: int) -> np.ndarray:
        loaded.append(step)
        return np.zeros(3)

    load_maps(list(range(100)), [0, 1, 50, 98], relevance, (3,))
    assert loaded == [0, 1, 2, 50, 51, 98, 99]


def test_the_last_step_has_no_difference() -> None:
    found = load_maps([1, 2], [0, 1], lambda step: np.full(3, float(step)), (3,))
    assert found.maps.tolist() == [[1.0] * 3, [2.0] * 3]
    assert found.differences.tolist() == [[1.0] * 3]
    assert load_maps([1], [0], lambda step: np.ones(3), (3,)).differences.shape == (0, 3)


def test_infinite_relevance_becomes_nan_without_a_warning() -> None:
    found = load_maps([1, 2], [0], lambda step: np.array([np.inf, 1]), (2,))
    np.testing.assert_array_equal(found.maps, [[np.nan, 1]])
    np.testing.assert_array_equal(found.differences, [[np.nan, 0]])


def test_a_map_of_another_shape_is_refused() -> None:
    with pytest.raises(RunError, match=r"step 1 has shape \(3,\), expected \(2,\)"):
        load_maps([1, 2], [0], lambda step: np.zeros(3), (2,))
