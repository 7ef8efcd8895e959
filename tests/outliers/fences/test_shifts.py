"""A stretch of larger changes is a shift, one large change a spike."""

import numpy as np
import pytest

from lrpdyn.outliers.fences.shifts import find_shifts, form


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(sigma=0.4, size=count)


@pytest.mark.parametrize("seed", range(5))
def test_a_rise_and_a_fall_are_found_where_they_are(seed: int) -> None:
    values = noise(120, seed)
    values[40:80] *= 5
    first, second = find_shifts(values)
    assert abs(first.at - 40) <= 2
    assert abs(second.at - 80) <= 2
    assert 3 < first.after / first.before < 8
    assert second.after == pytest.approx(first.before, rel=0.5)


@pytest.mark.parametrize("seed", range(10))
def test_noise_and_spikes_are_no_shifts(seed: int) -> None:
    values = noise(200, seed)
    assert find_shifts(values) == []
    values[[50, 51, 120]] *= 40
    assert find_shifts(values) == []


def test_few_or_no_changes_have_none() -> None:
    values = noise(19)
    values[10:] *= 50
    assert find_shifts(values) == []
    assert find_shifts(np.zeros(50)) == []
    assert find_shifts(np.ones(50)) == []


def test_forms() -> None:
    values = noise(120)
    values[80:] *= 10
    values[20] = 60
    values[100] = 500
    shifts = find_shifts(values)
    fence = 6.0
    assert [form(values, shifts, at, fence) for at in (20, 90, 100)] == ["spike", "shift", "spike"]
    assert form(values, [], 90, fence) == "spike"
