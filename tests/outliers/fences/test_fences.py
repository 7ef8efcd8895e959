"""Fences hold on clean skewed values, find planted and recorded outliers, and scale with units."""

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats

from lrpdyn.outliers.fences.fences import fences

Values = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Values]

CLEAN: dict[str, tuple[Draw, float]] = {
    "half-normal": (lambda rng, n: np.abs(rng.standard_normal(n)), stats.halfnorm.isf(0.001)),
    "exponential": (lambda rng, n: rng.standard_exponential(n), stats.expon.isf(0.001)),
    "lognormal": (lambda rng, n: rng.lognormal(size=n), stats.lognorm(1).isf(0.001)),
    "t3": (lambda rng, n: np.abs(rng.standard_t(3, n)), stats.t(3).isf(0.0005)),
    "zeros": (
        lambda rng, n: np.where(rng.random(n) < 0.6, 0.0, rng.standard_exponential(n)),
        stats.expon.isf(0.001 / 0.4),
    ),
}
"""By name: how clean values are drawn, and their .999 quantile."""

REPEATS = {44: 100, 352: 30, 1000: 12, 28224: 2}


def tukey_far(values: Values) -> float:
    lower, upper = np.quantile(values, (0.25, 0.75))
    return float(upper + 3 * (upper - lower))


def population(name: str, count: int, repeat: int) -> Values:
    return CLEAN[name][0](np.random.default_rng([1, repeat, count]), count)


def share_far(values: Values, picked: slice = slice(None)) -> float:
    far = fences(values).far
    return float("nan") if far is None else float((values[picked] > far).mean())


def recorded_run() -> tuple[Values, int]:
    """The recorded run's changes, 24 broken ones last.

    352 values whose adjusted boxplot has its far fence at 4.28 (medcouple .32), whose largest is
    2.4, and of which exactly the 24 broken ones lie beyond Q3 + 3 IQR.
    """
    sound = 0.386 * stats.weibull_min(1.2).ppf((np.arange(328) + 0.5) / 328)
    return np.append(sound, np.linspace(2.05, 2.4, 24)), 24


@pytest.mark.parametrize("count", REPEATS)
@pytest.mark.parametrize("name", CLEAN)
def test_at_most_one_per_cent_of_clean_values_is_far(name: str, count: int) -> None:
    shares = [share_far(population(name, count, repeat)) for repeat in range(REPEATS[count])]
    assert np.nanmean(shares) <= 0.01


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("count", [100, 352, 1000, 28224])
@pytest.mark.parametrize("name", ["half-normal", "exponential", "lognormal", "t3"])
def test_planted_values_are_far(name: str, count: int, share: float) -> None:
    found = []
    for repeat in range(20 if count < 1000 else 2):
        values, planted = population(name, count, repeat), round(share * count)
        values[:planted] = 5 * CLEAN[name][1]
        found.append(share_far(values, slice(planted)))
    assert np.mean(found) >= 0.95


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("count", [352, 1000, 28224])
def test_planted_values_are_far_among_zeros(count: int, share: float) -> None:
    values, planted = population("zeros", count, 0), round(share * count)
    values[:planted] = 5 * CLEAN["zeros"][1]
    assert share_far(values, slice(planted)) == 1


def test_finds_every_broken_change_of_the_recorded_run() -> None:
    values, broken = recorded_run()
    assert int((values > tukey_far(values)).sum()) == broken
    assert share_far(values, slice(-broken, None)) == 1
    assert share_far(values, slice(0, -broken)) <= 0.01


def test_many_values_just_beyond_are_far_where_few_are_not() -> None:
    values, broken = recorded_run()
    one = fences(values[: 1 - broken])
    assert one.mild < values[-broken] < one.far
    assert values[-broken] > fences(values).far


def reference(values: Values, excess: float, width: float) -> float:
    """The rule by another way: root by Brent, counts by the model's survival function."""
    positive = values[values > 0]
    rest = positive[positive <= tukey_far(positive)]
    low, middle, high = np.quantile(rest, (0.05, 0.5, 0.95))

    def raised(x: Values | float, power: float) -> Values:
        return np.asarray((np.asarray(x) ** power - 1) / power)

    def lopsided(power: float) -> float:
        a, b, c = (float(raised(q, power)) for q in (low, middle, high))
        return (c - b) - (b - a)

    power = optimize.brentq(lopsided, 1e-3, 1) if lopsided(1) > 0 else 1
    centre = raised(middle, power)
    sigma = (raised(high, power) - centre) / stats.norm.isf(0.05) * (1 + 14 / positive.size)
    for score in np.arange(2.33, 8, 0.02):
        height = (1 + power * (centre + score * sigma)) ** (1 / power)
        predicted = positive.size * stats.norm.sf((raised(height, power) - centre) / sigma)
        if max(1, (positive > height).sum()) >= excess * predicted:
            break
    lower, upper = np.quantile(rest, (0.25, 0.75))
    return float(max(height, upper + width * (upper - lower)))


@pytest.mark.parametrize("name", ["half-normal", "exponential", "t3", "zeros"])
@pytest.mark.parametrize("planted", [0, 10])
def test_agrees_with_an_independent_formula(name: str, planted: int) -> None:
    values = population(name, 500, 3)
    values[:planted] = 3 * CLEAN[name][1]
    fence = fences(values)
    assert fence.mild == pytest.approx(reference(values, 2, 1.5), rel=1e-9)
    assert fence.far == pytest.approx(reference(values, 10, 3), rel=1e-9)


def test_is_the_logarithm_where_the_quantiles_are_its_own() -> None:
    scores = stats.norm.ppf((np.arange(4001) + 0.5) / 4001)
    # The heaviest four of 4,001 leave no excess, so the far fence stands at a tenth of one value.
    values = np.exp(0.3 * scores)
    expected = math.exp(0.3 * stats.norm.isf(0.1 / 4001))
    far = fences(values).far
    assert far is not None
    assert far == pytest.approx(expected, rel=0.02)


def test_is_never_below_tukeys_fences_of_symmetric_values() -> None:
    values = stats.uniform.ppf((np.arange(1000) + 0.5) / 1000)
    fence = fences(values)
    lower, upper = np.quantile(values, (0.25, 0.75))
    assert fence.mild == upper + 1.5 * (upper - lower)
    assert fence.far == upper + 3 * (upper - lower)


@pytest.mark.parametrize(
    ("values", "count", "zeros"),
    [
        pytest.param([], 0, 0, id="empty"),
        pytest.param([0.0] * 30, 30, 1, id="all zero"),
        pytest.param([*np.arange(1.0, 20), *[0.0] * 19], 38, 0.5, id="19 positive"),
        pytest.param([2.0] * 40, 40, 0, id="all equal"),
        pytest.param([1.0] * 9 + [2.0] * 22 + [3.0] * 9, 40, 0, id="IQR zero"),
        pytest.param([1.0] * 70 + [2.0] * 10 + [90.0] * 20, 100, 0, id="IQR of the rest zero"),
        pytest.param(np.geomspace(1e-300, 1e300, 50), 50, 0, id="beyond floating point"),
    ],
)
def test_only_ranks_where_no_fence_can_be_drawn(
    values: list[float], count: int, zeros: float
) -> None:
    fence = fences(values)
    assert fence == replace(fence, method="rank", count=count, mild=None, far=None)
    assert fence.zeros == pytest.approx(zeros)


def test_twenty_positive_values_are_enough() -> None:
    values = np.append(np.zeros(5), np.arange(1.0, 21))
    fence = fences(values)
    assert (fence.method, fence.count) == ("power-tail", 25)
    assert fence.zeros == pytest.approx(0.2)
    assert fence.far < 1e3


def test_zeros_are_counted_but_do_not_move_the_fences() -> None:
    values = population("exponential", 300, 0)
    bare, padded = fences(values), fences(np.append(values, np.zeros(700)))
    assert (padded.mild, padded.far) == (bare.mild, bare.far)
    assert bare.zeros == 0
    assert padded.zeros == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (math.nan, r"1 of 41 values are not finite, the first at index 40 \(nan\)"),
        (math.inf, r"1 of 41 values are not finite, the first at index 40 \(inf\)"),
        (-1e-9, r"1 of 41 values are negative, the first at index 40 \(-1e-09\)"),
    ],
)
def test_refuses_what_is_no_size(bad: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fences([*range(40), bad])


def test_takes_any_shape_and_leaves_the_values_alone() -> None:
    values = population("lognormal", 600, 0).reshape(20, 30)
    before = values.copy()
    assert fences(values) == fences(values.ravel())
    np.testing.assert_array_equal(values, before)


sizes = st.one_of(st.just(0.0), st.integers(1, 9).map(float), st.floats(1e-6, 1e6))
populations = st.lists(sizes, max_size=80).map(np.array)


@given(values=populations, exponent=st.integers(-40, 40))
def test_scales_exactly_with_powers_of_two(values: Values, exponent: int) -> None:
    fence, scaled = fences(values), fences(values * 2.0**exponent)
    for before, after in ((fence.mild, scaled.mild), (fence.far, scaled.far)):
        assert after == (None if before is None else before * 2.0**exponent)


# Continuous values only: a tie with the screen may fall on its other side by rounding.
@given(name=st.sampled_from(sorted(CLEAN)), seed=st.integers(0, 999), scale=st.floats(1e-9, 1e9))
def test_scales_with_any_unit(name: str, seed: int, scale: float) -> None:
    values = population(name, 200, seed)
    fence, scaled = fences(values), fences(values * scale)
    assert fence.mild is not None
    assert fence.far is not None
    assert scaled.mild == pytest.approx(fence.mild * scale, rel=1e-9)
    assert scaled.far == pytest.approx(fence.far * scale, rel=1e-9)


@given(values=populations, seed=st.integers(0, 999))
def test_order_is_of_no_account(values: Values, seed: int) -> None:
    assert fences(np.random.default_rng(seed).permutation(values)) == fences(values)


@given(values=populations)
def test_mild_is_not_beyond_far(values: Values) -> None:
    fence = fences(values)
    if fence.mild is None or fence.far is None:
        assert fence.mild is fence.far
    else:
        assert 0 < fence.mild <= fence.far < math.inf


def test_needs_numpy_alone() -> None:
    code = "import sys, lrpdyn.outliers.fences.fences; print({'scipy', 'torch'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert loaded.stdout.decode().strip() == "set()"
