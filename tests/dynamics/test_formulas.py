"""Each formula of a column against NumPy and SciPy, sample by sample."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, stats

from lrpdyn.dynamics import formulas
from lrpdyn.dynamics.formulas import Samples, StepMaps

SAMPLES = 3
FIRST, BEFORE, NOW = np.random.default_rng(0).normal(size=(3, SAMPLES, 2, 4, 5))


def step_of(normalisation: str) -> StepMaps:
    """Return a step that is compared with the first one and with the one before."""
    first, before, now = (Samples(maps, normalisation) for maps in (FIRST, BEFORE, NOW))
    return StepMaps(now, first, before)


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
    step = StepMaps(first, first, None)
    assert formulas.distance_from_first(step).tolist() == [0] * SAMPLES
    assert formulas.distance_from_first_l1(step).tolist() == [0] * SAMPLES


def test_what_is_measured_does_not_change_the_maps() -> None:
    now, before = NOW.copy(), BEFORE.copy()
    step = StepMaps(Samples(now, "none"), Samples(before, "none"), Samples(before, "none"))
    assert (formulas.apart(now, before) >= 0).all()
    for formula in (formulas.change, formulas.distance_from_first, formulas.scale_share):
        formula(step)
    np.testing.assert_array_equal(now, NOW)
    np.testing.assert_array_equal(before, BEFORE)


@pytest.mark.parametrize("normalisation", ["none", "minmax"])
def test_how_concentrated_and_where_is_of_the_raw_maps(normalisation: str) -> None:
    step = step_of(normalisation)
    for sample, one in enumerate(np.abs(NOW).sum(axis=1)):
        apart = np.abs(np.subtract.outer(one.ravel(), one.ravel())).mean()
        assert formulas.gini(step)[sample] == pytest.approx(apart / 2 / one.mean())
        row, column = ndimage.center_of_mass(one)
        assert formulas.center_row(step)[sample] == pytest.approx(row)
        assert formulas.center_column(step)[sample] == pytest.approx(column)
        before = np.abs(BEFORE[sample]).sum(axis=0)
        tops = [set(np.argsort(-size.ravel())[:2].tolist()) for size in (one, before)]
        assert formulas.top_kept(step)[sample] == len(tops[0] & tops[1]) / 2


def test_pixels_that_tie_are_among_the_tenth_and_those_without_relevance_never() -> None:
    def of(*sizes: float) -> Samples:
        return Samples(np.array([[*sizes, *[0.0] * (20 - len(sizes))]]), "none")

    def largest(*sizes: float) -> StepMaps:
        return StepMaps(of(*sizes), of(*sizes), of(5, 4))

    assert formulas.top_kept(largest(9, 3, 3, 3)).tolist() == [0.5]  # two of four
    assert formulas.top_kept(largest(0, -7)).tolist() == [1.0]  # not of the zeros, too
    assert np.isnan(formulas.top_kept(largest())).all()


def test_what_there_is_not_is_empty() -> None:
    none = Samples(np.zeros((2, 1, 3, 3)), "none")
    even = Samples(np.ones((2, 4)), "none")
    of_none, of_features = StepMaps(none, none, none), StepMaps(even, even, None)
    for formula in (formulas.gini, formulas.top_kept, formulas.center_row, formulas.center_column):
        assert np.isnan(formula(of_none)).all()
    for formula in (formulas.top_kept, formulas.center_row, formulas.center_column):
        assert np.isnan(formula(of_features)).all()
    assert formulas.gini(of_features).tolist() == [0, 0]
    in_time = Samples(np.ones((2, 4, 3)), "none")  # (N, L, C): no picture
    assert np.isnan(formulas.center_row(StepMaps(in_time, in_time, None))).all()
