"""Phases are told where there are levels, and not where there is noise or drift."""

import numpy as np
import pytest

from lrpdyn.dynamics.phases import find_phases, mean_outline, outline


def levels(steps: int, borders: list[int], seed: int, size: float = 4.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(steps, 6))
    for border in borders:
        values[border:] += size * generator.normal(size=6)
    return values


@pytest.mark.parametrize("seed", range(5))
def test_borders_are_found_and_sure(seed: int) -> None:
    found = find_phases(levels(60, [20, 40], seed))
    assert [min(abs(border - true) for true in (20, 40)) for border in found.borders] == [0, 0]
    assert min(found.sure) > 0.9
    assert found.explained > 0.5
    assert found.as_data(10 * np.arange(60))["borders"][0]["step"] == 10 * found.borders[0]


def test_long_series_are_cut_to_within_a_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrpdyn.dynamics.phases.MOST_STEPS", 100)
    values = levels(751, [203, 400], 0)  # stretches of 8, the last of 7
    found = find_phases(values)
    assert found.borders == (200, 400)
    assert find_phases(values[:100]).borders == ()


@pytest.mark.parametrize("seed", range(5))
def test_noise_and_drift_have_no_phases(seed: int) -> None:
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(60, 6))
    found = find_phases(noise)
    assert found.borders == ()
    assert "one phase" in found.why
    drift = np.linspace(0, 8, 60)[:, None] * generator.normal(size=6) + noise
    found = find_phases(drift)
    assert found.borders == ()
    assert "drifts steadily" in found.why


def test_random_walks_are_seldom_cut() -> None:
    cut = [
        len(find_phases(np.random.default_rng(seed).normal(size=(60, 6)).cumsum(axis=0)).borders)
        for seed in range(20)
    ]
    assert sum(count > 0 for count in cut) <= 4


def test_few_steps_are_too_few_to_say() -> None:
    found = find_phases(levels(9, [4], 0, size=50))
    assert found.borders == ()
    assert "too few to say" in found.why
    assert "nothing changes" in find_phases(np.ones((30, 3))).why


def test_the_same_series_has_the_same_phases() -> None:
    values = levels(60, [20, 40], 1)
    assert find_phases(values) == find_phases(values.copy())


def test_scale_and_units_are_of_no_account() -> None:
    values = levels(60, [20, 40], 1)
    assert find_phases(values).borders == find_phases(1e-6 * values + 3).borders


def test_outlines_are_shares_over_a_grid() -> None:
    maps = np.zeros((3, 2, 14, 21))
    maps[0, 0, :2, :3] = 1
    maps[0, 1, -1, -1] = -6
    maps[1, 0, 0, 0] = 5
    assert outline(maps).shape == (3, 49)
    found = mean_outline(outline(maps))
    assert found.shape == (49,)
    assert found[0] == pytest.approx((0.5 + 1) / 2)
    assert found[-1] == pytest.approx(0.25)
    assert found.sum() == pytest.approx(1)
    assert np.isnan(mean_outline(outline(np.zeros((2, 1, 14, 14))))).all()
    flat = mean_outline(outline(np.array([[1.0, -1, 2]])))
    assert flat.tolist() == [0.25, 0.25, 0.5]
