"""Each change is compared with those around it: smooth decay is no outlier, and hides none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lrpdyn.outliers.fences.in_time import (
    FEWEST,
    HALF,
    LEAST_FAR,
    LEAST_MILD,
    first_after_start,
    in_time,
    local_trend,
    sides,
)

LENGTHS = (39, 59, 99, 199)


def noisy(length: int, generator: np.random.Generator, sigma: float = 0.15) -> np.ndarray:
    """Changes that decay tenfold over training, each a little above or below."""
    return np.geomspace(1, 0.1, length) * generator.lognormal(sigma=sigma, size=length)


@pytest.mark.parametrize("length", [5, 8, 15, 60])
def test_the_trend_of_a_line_is_the_line(length: int) -> None:
    line = 3 - 0.07 * np.arange(length)
    np.testing.assert_allclose(local_trend(line), line, atol=1e-12)


def test_a_value_has_no_part_in_its_own_trend_nor_has_one_outlier_in_that_of_its_neighbours() -> (
    None
):
    line = np.linspace(2, -3, 40)
    for place in range(40):
        changed = line.copy()
        changed[place] += 100
        trend = local_trend(changed)
        assert trend[place] == pytest.approx(line[place])
        slope = 5 / 39  # a median of seven moves by a place, and the line with it
        assert np.abs(trend - line).max() < 3 * slope


def test_too_few_values_have_no_trend() -> None:
    assert np.isnan(local_trend(np.arange(4.0))).all()
    assert not np.isnan(local_trend(np.arange(5.0))).any()
    unknown = np.arange(20.0)
    unknown[5:10] = np.nan
    trend = local_trend(unknown)
    # Of the seven before the first three are known, of those before the second two.
    assert np.isnan(trend[[9, 11]]).tolist() == [False, True]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_late_spike_of_three_times_is_found_and_clean_runs_are_left_alone(length: int) -> None:
    generator = np.random.default_rng(length)
    found = false = 0
    for _ in range(40):
        values = noisy(length, generator)
        clean = in_time(values)
        false += bool((values > clean.far).any())
        place = int(generator.integers(2 * length // 3, length - 1))
        values[place] *= 3
        found += bool(values[place] > in_time(values).mild[place])
    assert found >= 38
    assert false <= 1


def test_a_spike_at_every_place_after_the_start_is_far() -> None:
    values = noisy(60, np.random.default_rng(0))
    for place in range(first_after_start(60), 60):
        spiked = values.copy()
        spiked[place] *= 8
        assert np.flatnonzero(spiked > in_time(spiked).far).tolist() == [place]


def test_the_start_is_never_flagged() -> None:
    values = noisy(50, np.random.default_rng(0))
    values[:10] *= [1, 1, 900, 5, 80, 7, 1, 1e4, 1, 50]
    found = in_time(values)
    assert first_after_start(50) == 10
    assert np.isnan(found.mild[:10]).all()
    assert np.isnan(found.far[:10]).all()
    assert np.isfinite(found.trend[:10]).all()
    assert np.isfinite(found.far[10:]).all()
    assert not (values > found.mild).any()


def test_a_stretch_of_eight_is_found() -> None:
    values = noisy(80, np.random.default_rng(0))
    values[50:58] *= 12
    beyond = values > in_time(values).far
    assert beyond[50:58].sum() >= 6
    assert not np.delete(beyond, np.s_[50:58]).any()


def test_below_twenty_values_there_is_no_fence() -> None:
    values = np.ones(FEWEST)
    values[15] = 1000
    few = in_time(values[1:])
    assert np.isnan(few.far).all()
    assert np.isnan(few.mild).all()
    assert np.flatnonzero(values > in_time(values).far).tolist() == [15]


@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_a_level_that_shifts_is_no_outlier(factor: float) -> None:
    values = np.random.default_rng(1).lognormal(sigma=0.2, size=80)
    values[40:] *= factor
    assert not (values > in_time(values).far).any()


def test_the_end_of_a_cosine_schedule_is_no_outlier() -> None:
    values = 1e-3 + 0.5 * (1 + np.cos(np.linspace(0, np.pi, 60)))
    found = in_time(values)
    assert not (values > found.mild).any()


def test_fences_are_never_nearer_than_the_least_factors() -> None:
    found = in_time(np.geomspace(1, 0.1, 60))  # without noise
    late = first_after_start(60)
    for fence, least in ((found.mild, LEAST_MILD), (found.far, LEAST_FAR)):
        factor = fence[late:] / found.trend[late:]
        assert (factor >= least * (1 - 1e-9)).all()
        assert (factor < 1.25 * least).all()
    wider = in_time(np.geomspace(1, 0.1, 60), least_far=5)
    assert (wider.far[late:] > 1.4 * found.far[late:]).all()


def test_zeros_take_no_part() -> None:
    values = noisy(60, np.random.default_rng(0))
    values[40] *= 8
    values[[15, 30, 41, 55]] = 0
    found = in_time(values)
    assert np.flatnonzero(values > found.far).tolist() == [40]
    assert np.isfinite(found.far[first_after_start(60) :]).all()
    none = in_time(np.zeros(30))
    assert np.isnan(none.far).all()
    assert in_time(np.zeros((0, 3))).far.shape == (0, 3)


def test_samples_have_a_trend_each_and_none_is_hidden_by_another() -> None:
    generator = np.random.default_rng(0)
    values = np.stack([noisy(60, generator) for _ in range(12)], axis=1)
    found = in_time(values)
    other = values.copy()
    other[45, 3] *= 20
    changed = in_time(other)
    assert np.argwhere(other > changed.far).tolist() == [[45, 3]]
    columns = np.arange(12) != 3
    np.testing.assert_array_equal(found.trend[:, columns], changed.trend[:, columns])
    for column in range(12):
        np.testing.assert_array_equal(found.trend[:, column], in_time(values[:, column]).trend)


def test_a_sample_that_jumps_to_and_fro_all_the_time_is_used_to_it() -> None:
    generator = np.random.default_rng(0)
    values = np.stack([noisy(60, generator) for _ in range(12)], axis=1)
    values[::5, 4] *= 6
    assert not (values > in_time(values).far)[:, 4].any()
    assert (values[:, 4] > in_time(values[:, 4]).far).any()  # of one series alone they are outliers


def test_the_larger_side_is_that_of_the_medians_around() -> None:
    values = np.arange(20.0)
    found = sides(values, 2, 4)
    assert found[10] == 13  # 12, 13, 14
    assert found[19] == 16  # there is nothing after
    before = sides(values, 2, 4, since_before=True)
    assert before[10] == 13
    assert np.isnan(before[1])


@given(
    values=arrays(np.float64, st.integers(2 * HALF + 1, 60), elements=st.floats(0.01, 100)),
    by=st.floats(1e-3, 1e3),
)
def test_fences_have_the_unit_of_the_values(values: np.ndarray, by: float) -> None:
    one, other = in_time(values), in_time(by * values)
    for name in ("trend", "mild", "far"):
        np.testing.assert_allclose(getattr(other, name), by * getattr(one, name), rtol=1e-6)
