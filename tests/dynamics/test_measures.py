"""Measures of maps against SciPy, against their definitions, and on maps whose values are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from lrpdyn.dynamics.measures import (
    centred_ranks,
    cosines,
    entropy,
    normalise,
    pixels,
    ranked,
    ranks,
    scale_of_change,
    sizes_in_order,
)
from lrpdyn.errors import UsageError

numbers = st.floats(-100, 100, width=32).map(lambda v: 0.0 if abs(v) < 1e-3 else v)


@given(arrays(np.float64, (2, 3, 2, 2, 3), elements=numbers))
@settings(max_examples=100, deadline=None)
def test_the_share_of_scale_is_along_the_first_left_singular_vector(maps: np.ndarray) -> None:
    before, after = maps
    share, *_ = scale_of_change(before, after, after - before)
    for n in range(3):
        one, change = before[n].ravel(), (after[n] - before[n]).ravel()
        if not change.any():
            assert np.isnan(share[n])
            continue
        columns = np.stack([one, one + change], axis=1)
        u, values, _ = np.linalg.svd(columns, full_matrices=False)
        if np.isclose(values[0], values[1], rtol=1e-3):
            continue  # the first singular vector is then not unique, or hardly
        scale = u[:, 0] * (u[:, 0] @ change)
        shape = change - scale
        assert scale @ shape == pytest.approx(0, abs=1e-9)
        assert share[n] == pytest.approx(scale @ scale / (change @ change), abs=1e-6)


@given(arrays(np.float64, (2, 3, 6), elements=numbers))
@settings(max_examples=60, deadline=None)
def test_scale_factor_is_of_the_projections(maps: np.ndarray) -> None:
    before, after = maps
    _, factor, _ = scale_of_change(before, after, after - before)
    for n in range(3):
        u, values, _ = np.linalg.svd(np.stack([before[n], after[n]], axis=1), full_matrices=False)
        if np.isclose(values[0], values[1], rtol=1e-3) or abs(u[:, 0] @ before[n]) < 1e-6:
            continue
        expected = (u[:, 0] @ after[n]) / (u[:, 0] @ before[n])
        assert factor[n] == pytest.approx(expected, rel=1e-6, abs=1e-9)
    before = before + 200
    np.testing.assert_allclose(scale_of_change(before, -3 * before, -4 * before)[1], -3)


def test_pure_growth_is_all_scale_and_shares_of_small_maps_are_no_zero() -> None:
    before = np.random.default_rng(0).normal(size=(4, 50))
    assert scale_of_change(before, 3 * before, 2 * before)[0] == pytest.approx(1.0)
    other = np.random.default_rng(1).normal(size=(4, 50))
    expected, *_ = scale_of_change(before, other, other - before)
    small, tiny = before * 1e-70, other * 1e-70
    np.testing.assert_allclose(scale_of_change(small, tiny, tiny - small)[0], expected, rtol=1e-9)


@given(arrays(np.float64, (2, 4, 9), elements=st.sampled_from([-2.0, 0.0, 0.0, 0.0, 1.0, 3.5])))
@settings(max_examples=60, deadline=None)
def test_ranks_and_their_cosine_are_those_of_scipy(maps: np.ndarray) -> None:
    one, other = maps
    np.testing.assert_array_equal(ranks(one), stats.rankdata(one, axis=1) - 1)
    found = cosines(centred_ranks(one), centred_ranks(other))
    for n in range(4):
        if np.ptp(one[n]) == 0 or np.ptp(other[n]) == 0:
            assert np.isnan(found[n])
        else:
            assert found[n] == pytest.approx(stats.spearmanr(one[n], other[n]).statistic)


@given(
    arrays(np.float64, (2, 40), elements=st.floats(allow_nan=False)),
    arrays(np.int64, (2, 40), elements=st.integers(-3, 3)),
)
@settings(max_examples=100, deadline=None)
def test_ranks_of_any_numbers_and_of_those_that_hardly_differ(
    values: np.ndarray, apart: np.ndarray
) -> None:
    for numbers in (values, 1 + apart * 2.0**-52, -1 + apart * 2.0**-53, apart * 5e-324):
        np.testing.assert_array_equal(ranks(numbers), stats.rankdata(numbers, axis=1) - 1)


@given(arrays(np.float64, (3, 2, 9), elements=st.sampled_from([-2.0, -0.0, 0.0, 1.0, 3.5])))
@settings(max_examples=60, deadline=None)
def test_sizes_are_in_order_whatever_the_signs_of_the_maps(maps: np.ndarray) -> None:
    maps[1], maps[2] = np.abs(maps[1]), -np.abs(maps[2])
    values, sizes = maps.sum(axis=1), np.abs(maps).sum(axis=1)
    ordered = ranked(values)[1]
    np.testing.assert_array_equal(ordered, np.sort(values, axis=1))
    found = sizes_in_order(sizes, values, ordered)
    np.testing.assert_array_equal(found, np.sort(sizes, axis=1))


def test_rank_similarity_is_of_channel_summed_pixels() -> None:
    maps = np.zeros((1, 2, 2, 2))
    maps[0, 0], maps[0, 1] = [[5, 0], [0, 1]], [[-5, 2], [0, 0]]
    assert pixels(maps).tolist() == [[[0, 2], [0, 1]]]
    assert centred_ranks(pixels(maps)).tolist() == [[-1, 1.5, -1, 0.5]]


def test_normalisations() -> None:
    maps = np.array([[1.0, 3.0], [0.0, 0.0], [-2.0, 2.0]], dtype=np.float32)
    assert normalise(maps, "l1").tolist() == [[0.25, 0.75], [0, 0], [-0.5, 0.5]]
    assert normalise(maps, "max").tolist() == [[1 / 3, 1], [0, 0], [-1, 1]]
    assert normalise(maps, "minmax").tolist() == [[0, 1], [0, 0], [0, 1]]
    assert normalise(maps[:2], "sum").tolist() == [[0.25, 0.75], [0, 0]]
    with pytest.raises(UsageError, match="--normalize l1"):
        normalise(maps, "sum")


def test_entropy_of_known_maps() -> None:
    maps = np.zeros((3, 2, 2, 2), dtype=np.float32)
    maps[0] = -1
    maps[1, 0, 0, 0] = 5
    found = entropy(maps)
    assert found[0] == pytest.approx(np.log(4))
    assert found[1] == 0
    assert np.isnan(found[2])


def growth_of(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return scale_of_change(before, after, after - before)[2]


def test_growth_by_hand() -> None:
    before = np.array([[10.0, 0], [1, 2], [1, 2], [1, 2], [3, 4], [1, 0], [0, 0]])
    after = np.array([[0.0, 3], [5, 10], [-2, -4], [1, 2], [3, 8], [1, 1], [1, 2]])
    expected = [
        0,  # a small map elsewhere: nothing grew, though a factor of zero removes nearly all
        1,  # five times the map
        0,  # the map turned round
        np.nan,  # nothing changed
        0.64,  # of (0, 4), the part along (3, 4) / 5 is 3.2: 10.24 of 16
        0,  # what came is at right angles to what was
        0,  # there was nothing that could grow
    ]
    np.testing.assert_allclose(growth_of(before, after), expected, atol=1e-12)


@given(arrays(np.float64, (2, 3, 6), elements=numbers), st.floats(1.001, 100))
@settings(max_examples=60, deadline=None)
def test_growth_is_what_the_best_factor_removes_and_at_most_the_cosine(
    maps: np.ndarray, factor: float
) -> None:
    before, after = maps
    found = growth_of(before, after)
    for n in range(3):
        one, two = before[n], after[n]
        if not (two - one).any():
            assert np.isnan(found[n])
            continue
        if not one.any() or not two.any():
            assert found[n] == 0
            continue
        (best,) = np.linalg.lstsq(one[:, None], two, rcond=None)[0]
        removed = 1 - ((two - best * one) ** 2).sum() / ((two - one) ** 2).sum()
        cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
        assert found[n] == pytest.approx(max(0, min(removed, cosine)), abs=1e-6)
        assert found[n] <= max(cosine, 0) + 1e-9
    grown = growth_of(before, factor * before)
    np.testing.assert_allclose(grown[before.any(axis=1)], 1)
