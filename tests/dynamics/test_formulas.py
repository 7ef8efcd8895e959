"""Each formula of a column against NumPy and SciPy, sample by sample."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lrpdyn.dynamics import formulas
from lrpdyn.dynamics.formulas import Samples, StepMaps

SAMPLES = 3
FIRST, BEFORE, NOW = np.random.default_rng(0).normal(size=(3, SAMPLES, 2, 4, 5))


def step_of(normalisation: str) -> StepMaps:
    """Return a step that is compared with the first one and with the one before."""
    first, before, now = (Samples(maps, normalisation) for maps in (FIRST, BEFORE, NOW))
    return StepMaps(now, first, before, StepMaps(before, first, None, None).ranks)


def by_l1(maps: np.ndarray) -> np.ndarray:
    return np.stack([one / np.abs(one).sum() for one in maps])


@pytest.mark.parametrize("normalisation", ["none", "l1"])
def test_sums_and_entropy_are_of_the_raw_maps(normalisation: str) -> None:
    step = step_of(normalisation)
    np.testing.assert_allclose(formulas.relevance_sum(step), [one.sum() for one in NOW])
    np.testing.assert_allclose(formulas.relevance_l1(step), [np.abs(one).sum() for one in NOW])
    expected = [stats.entropy(np.abs(one).sum(axis=0).ravel()) for one in NOW]
    np.testing.assert_allclose(formulas.entropy(step), expected)


def test_changes_and_distances_are_of_the_normalised_maps() -> None:
    raw, shares = step_of("none"), step_of("l1")
    of_shares = np.abs(by_l1(NOW) - by_l1(FIRST)).sum(axis=(1, 2, 3))
    axes = (1, 2, 3)
    np.testing.assert_allclose(formulas.change(raw), np.abs(NOW - BEFORE).sum(axis=axes))
    expected = np.abs(by_l1(NOW) - by_l1(BEFORE)).sum(axis=axes)
    np.testing.assert_allclose(formulas.change(shares), expected)
    np.testing.assert_allclose(
        formulas.distance_from_first(raw), np.abs(NOW - FIRST).sum(axis=axes)
    )
    np.testing.assert_allclose(formulas.distance_from_first(shares), of_shares)
    np.testing.assert_allclose(formulas.distance_from_first_l1(raw), of_shares)


def test_cosine_and_rank_similarity_are_of_pixels() -> None:
    step = step_of("none")
    before, now = (maps.sum(axis=1).reshape(SAMPLES, -1) for maps in (BEFORE, NOW))
    for sample, (one, other) in enumerate(zip(before, now, strict=True)):
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        assert formulas.cosine(step)[sample] == pytest.approx(cosine)
        ranked = stats.spearmanr(one, other).statistic
        assert formulas.rank_similarity(step)[sample] == pytest.approx(ranked)


def test_scale_is_the_part_along_the_common_direction() -> None:
    step = step_of("none")
    for sample in range(SAMPLES):
        one, other = BEFORE[sample].ravel(), NOW[sample].ravel()
        direction = np.linalg.svd(np.stack([one, other], axis=1), full_matrices=False)[0][:, 0]
        share = (direction @ (other - one)) ** 2 / ((other - one) ** 2).sum()
        assert formulas.scale_share(step)[sample] == pytest.approx(share)
        factor = (direction @ other) / (direction @ one)
        assert formulas.scale_factor(step)[sample] == pytest.approx(factor)


def test_the_first_step_is_no_way_from_itself() -> None:
    first = Samples(FIRST, "l1")
    step = StepMaps(first, first, None, None)
    assert formulas.distance_from_first(step).tolist() == [0] * SAMPLES
    assert formulas.distance_from_first_l1(step).tolist() == [0] * SAMPLES


def test_what_is_measured_does_not_change_the_maps() -> None:
    now, before = NOW.copy(), BEFORE.copy()
    step = StepMaps(Samples(now, "none"), Samples(before, "none"), Samples(before, "none"), None)
    assert (formulas.apart(now, before) >= 0).all()
    for formula in (formulas.change, formulas.distance_from_first, formulas.scale_share):
        formula(step)
    np.testing.assert_array_equal(now, NOW)
    np.testing.assert_array_equal(before, BEFORE)
