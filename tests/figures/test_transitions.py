"""Choosing and loading transitions."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrpdyn.errors import RunError, UsageError
from lrpdyn.figures.transitions import choose_transitions, load_transitions


def test_few_transitions_are_all_kept() -> None:
    assert choose_transitions(5, 8) == [0, 1, 2, 3]
    assert choose_transitions(2, 8) == [0]


def test_many_transitions_are_thinned_evenly() -> None:
    assert choose_transitions(23, 8) == [0, 3, 6, 9, 12, 15, 18, 21]
    assert choose_transitions(101, 3) == [0, 50, 99]
    assert choose_transitions(101, 1) == [0]


@given(steps=st.integers(3, 5_000), count=st.integers(2, 40))
def test_first_and_last_are_kept_and_gaps_differ_by_one_at_most(steps: int, count: int) -> None:
    chosen = choose_transitions(steps, count)
    assert len(chosen) == min(count, steps - 1)
    assert (chosen[0], chosen[-1]) == (0, steps - 2)
    gaps = [after - before for before, after in pairwise(chosen)]
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(("steps", "count"), [(1, 8), (0, 8), (5, 0)])
def test_nothing_to_choose_is_refused(steps: int, count: int) -> None:
    with pytest.raises(UsageError, match=f"found {steps} and {count}"):
        choose_transitions(steps, count)


def test_differences_are_summed_after_the_absolute_value() -> None:
    maps = {10: np.array([1.0, -1.0]), 20: np.array([-1.0, 1.0])}
    relevance, differences = load_transitions(
        [10, 20], [0], lambda step: maps[step].reshape(2, 1, 1), (2, 1, 1)
    )
    assert relevance.tolist() == [[[0.0]]]
    assert differences.tolist() == [[[4.0]]]


def test_each_difference_is_to_the_next_of_all_steps() -> None:
    steps = [10, 20, 30, 40, 50, 60]
    relevance, differences = load_transitions(
        steps, [0, 2, 4], lambda step: np.full((1, 1, 1), float(step) ** 2), (1, 1, 1)
    )
    assert relevance.ravel().tolist() == [100, 900, 2500]
    assert differences.ravel().tolist() == [300, 700, 1100]


def test_each_map_is_loaded_once_and_no_other() -> None:
    loaded = []

    def relevance(step: int) -> np.ndarray:
        loaded.append(step)
        return np.zeros(3)

    load_transitions(list(range(100)), [0, 1, 50, 98], relevance, (3,))
    assert loaded == [0, 1, 2, 50, 51, 98, 99]


def test_infinite_relevance_becomes_nan_without_a_warning() -> None:
    maps, differences = load_transitions([1, 2], [0], lambda step: np.array([np.inf, 1]), (2,))
    np.testing.assert_array_equal(maps, [[np.nan, 1]])
    np.testing.assert_array_equal(differences, [[np.nan, 0]])


def test_a_map_of_another_shape_is_refused() -> None:
    with pytest.raises(RunError, match=r"step 1 has shape \(3,\), expected \(2,\)"):
        load_transitions([1, 2], [0], lambda step: np.zeros(3), (2,))
