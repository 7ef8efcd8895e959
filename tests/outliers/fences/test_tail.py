"""Tail severity ranks, and is not misled by the outliers themselves."""

import numpy as np
import pytest
from scipy import stats

from lrpdyn.outliers.fences.fences import fences
from lrpdyn.outliers.fences.tail import LARGEST, _fit, tail_severity


@pytest.mark.parametrize("name", ["expon", "halfnorm"])
def test_is_the_logarithm_of_the_tail_that_values_have(name: str) -> None:
    of = getattr(stats, name)
    values = of.rvs(size=4000, random_state=0)
    points = of.isf([0.02, 0.005, 0.002])
    found = tail_severity(values, fences(values), points)
    assert found == pytest.approx(-np.log10([0.02, 0.005, 0.002]), abs=0.25)


@pytest.mark.parametrize("shape", [-0.4, 0.1, 0.5, 1.2])
@pytest.mark.parametrize("count", [12, 300])
def test_the_fit_is_that_of_scipy(shape: float, count: int) -> None:
    of = stats.genpareto(shape, scale=3)
    excess = of.rvs(size=count, random_state=count)
    expected, _, scale = stats.genpareto.fit(excess, floc=0)
    if expected <= 0:
        expected, scale = 0.0, excess.mean()
    assert _fit(excess) == pytest.approx((expected, scale), rel=2e-3)


def test_outliers_do_not_hide_themselves() -> None:
    values = stats.expon.rvs(size=1000, random_state=0)
    clean = tail_severity(values, fences(values), np.array([30.0]))
    values[:50] = 30
    assert tail_severity(values, fences(values), np.array([30.0])) > 0.5 * clean
    assert clean > 8


def test_rises_with_the_value_and_is_nothing_below_the_tail() -> None:
    values = np.random.default_rng(0).uniform(1, 2, 500)
    points = np.array([0.5, 1.5, 1.95, 2.1, 3, 1e9])
    found = tail_severity(values, fences(values), points)
    assert np.isnan(found[:2]).all()
    assert (np.diff(found[2:]) > 0).all()
    assert found[-1] == LARGEST


def test_zeros_count_among_the_values() -> None:
    values = stats.expon.rvs(size=2000, random_state=0)
    points = np.array([5.0])
    plain = tail_severity(values, fences(values), points)
    with_zeros = np.append(values, np.zeros(18000))
    assert tail_severity(with_zeros, fences(with_zeros), points) == pytest.approx(plain + 1)


def test_too_few_values_have_no_tail() -> None:
    values = np.arange(19.0)
    assert np.isnan(tail_severity(values, fences(values), values)).all()
