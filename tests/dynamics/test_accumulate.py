"""Streamed sums and measures against NumPy with every map in memory."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace as Values

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from lrpdyn.dynamics.accumulate import Dynamics
from lrpdyn.dynamics.measures import normalise
from lrpdyn.dynamics.one_step import Measured
from lrpdyn.dynamics.totals import Sums, summary
from lrpdyn.files.streamed import IN_CACHE, Samples, opened, slices

numbers = st.floats(-100, 100, width=32).map(lambda v: 0.0 if abs(v) < 1e-3 else v)
STEPS = (3, 10, 20, 30, 45)


def sums_of(dynamics: Dynamics) -> Sums:
    return dynamics.of(slice(0, dynamics.shape[0]))


def worth(dynamics: Dynamics) -> dict[str, float | None]:
    return summary(np.sum([products for _, products in dynamics.maps(())], axis=0))


def added(dynamics: Dynamics, step: int, maps: Samples) -> tuple[Values, Values | None]:
    """Add a step; return what is measured of it, and of the transition that leads to it."""
    (found,) = dynamics.add([(step, maps, bool(np.isfinite(maps[:]).all()))])
    values = Values(**vars(found), **found.columns)
    return values, None if values.from_step is None else Values(**vars(values), to_step=step)


def streamed(maps: np.ndarray, how: str = "none") -> tuple[Dynamics, list, list[Values]]:
    dynamics = Dynamics(maps.shape[1:], how)
    found = [added(dynamics, step, values) for step, values in zip(STEPS, maps, strict=False)]
    return dynamics, [m for m, _ in found], [t for _, t in found if t is not None]


@given(
    arrays(np.float32, (5, 2, 2, 3, 4), elements=numbers),
    st.sampled_from(["none", "l1", "max", "minmax"]),
)
@settings(max_examples=60, deadline=None)
def test_streamed_maps_equal_those_in_memory(maps: np.ndarray, how: str) -> None:
    dynamics, _, _ = streamed(maps, how)
    copies = np.stack([normalise(values, how) for values in maps])
    differences = np.abs(np.diff(copies, axis=0))
    path, net = differences.sum(0), np.abs(copies[-1] - copies[0])
    np.testing.assert_allclose(sums_of(dynamics).dynamics, path, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(sums_of(dynamics).net_change, net, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(sums_of(dynamics).mean_relevance, np.abs(copies).mean(0), rtol=1e-6)
    direct = np.where(path > 0, net / np.where(path > 0, path, 1), 0)
    np.testing.assert_allclose(sums_of(dynamics).directness, direct, rtol=1e-5, atol=1e-5)
    assert (sums_of(dynamics).directness <= 1 + 1e-6).all()
    sizes = np.abs(copies).sum(axis=2)
    total = sizes.sum(0)
    there = total > 1e-6 * total.max(axis=(1, 2), keepdims=True)
    relative = np.where(there, path.sum(axis=1) / np.where(there, total, 1), 0)
    np.testing.assert_allclose(sums_of(dynamics).relative_dynamics, relative, rtol=1e-5, atol=1e-6)
    assert (sums_of(dynamics).relative_dynamics <= 2 + 1e-6).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pixels without relevance: SciPy divides by zero
        entropy = stats.entropy(sizes, axis=0)
    np.testing.assert_allclose(sums_of(dynamics).pixel_entropy, entropy, rtol=1e-4, atol=1e-5)
    largest, at = sums_of(dynamics).largest, sums_of(dynamics).largest_at
    of_pixels = differences.sum(axis=2)
    np.testing.assert_allclose(largest, of_pixels.max(0))
    np.testing.assert_array_equal(at, of_pixels.argmax(0))


@given(arrays(np.float32, (5, 3, 4), elements=numbers), st.sampled_from(["none", "l1"]))
@settings(max_examples=60, deadline=None)
def test_streamed_measures_equal_those_in_memory(maps: np.ndarray, how: str) -> None:
    _, measures, moves = streamed(maps, how)
    copies = np.stack([normalise(values, how) for values in maps])
    shares = np.stack([normalise(values, "l1") for values in maps])
    for i, found in enumerate(measures):
        np.testing.assert_allclose(found.relevance_sum, maps[i].astype(float).sum(1), atol=1e-4)
        np.testing.assert_allclose(found.relevance_l1, np.abs(maps[i]).sum(1), rtol=1e-5)
        distance = np.abs(copies[i] - copies[0]).sum(1)
        np.testing.assert_allclose(found.distance_from_first, distance, atol=1e-12)
        distance = np.abs(shares[i] - shares[0]).sum(1)
        np.testing.assert_allclose(found.distance_from_first_l1, distance, atol=1e-12)
        assert not found.from_step_zero
    assert [(move.from_step, move.to_step) for move in moves] == [
        (3, 10), (10, 20), (20, 30), (30, 45),
    ]  # fmt: skip
    for i, move in enumerate(moves):
        change = np.abs(copies[i + 1] - copies[i]).sum(1)
        np.testing.assert_allclose(move.change, change, rtol=1e-12)
        for n in range(3):
            one, other = copies[i, n], copies[i + 1, n]
            if one.any() and other.any():
                expected = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
                assert move.cosine[n] == pytest.approx(expected, abs=1e-9)
            else:
                assert np.isnan(move.cosine[n])
            if np.ptp(one) > 0 and np.ptp(other) > 0:
                expected = stats.spearmanr(one, other).statistic
                assert move.rank_similarity[n] == pytest.approx(expected, abs=1e-9)


def test_a_first_step_of_zero_is_marked() -> None:
    dynamics = Dynamics((1, 2))
    for step in (0, 10):
        measures, _ = added(dynamics, step, np.ones((1, 2), dtype=np.float32))
        assert measures.from_step_zero


def test_not_finite_steps_are_never_bridged() -> None:
    maps = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((4, 1, 2), dtype=np.float32)
    maps[2, 0, 0] = np.nan
    dynamics = Dynamics((1, 2))
    moves = [added(dynamics, step, values)[1] for step, values in enumerate(maps)]
    assert [move is not None for move in moves] == [False, True, False, False]
    assert sums_of(dynamics).dynamics.tolist() == [[1, 1]]
    assert sums_of(dynamics).net_change.tolist() == [[3, 3]]
    assert worth(dynamics)["every_second_share"] == 0
    assert dynamics.steps == 3


@pytest.mark.parametrize("threads", [1, 3])
def test_many_samples_in_files_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    maps = np.random.default_rng(0).normal(size=(5, 9, 4, 70, 70)).astype(np.float32)
    assert len(list(slices(maps.shape[1:], IN_CACHE))) == 2
    files = []
    for step, values in zip(STEPS, maps, strict=True):
        files.append(tmp_path / f"{step}.npy")
        np.save(files[-1], values)
    whole, expected, _ = streamed(maps, "l1")
    monkeypatch.setattr("lrpdyn.dynamics.scratch.LARGEST_IN_MEMORY", 0)
    dynamics = Dynamics(maps.shape[1:], "l1", tmp_path, threads)
    for file, step, before in zip(files, STEPS, expected, strict=True):
        measures, _ = added(dynamics, step, opened(file))
        for name in ("relevance_l1", "entropy", "distance_from_first"):
            np.testing.assert_array_equal(getattr(measures, name), getattr(before, name))
    assert dynamics.needed == {3, 45}
    for piece in slices(maps.shape[1:], IN_CACHE):
        for name in ("dynamics", "net_change", "mean_relevance", "relative_dynamics"):
            found = getattr(dynamics.of(piece), name)
            np.testing.assert_array_equal(found, getattr(whole.of(piece), name))
    assert worth(dynamics) == worth(whole)
    dynamics.close()
    # Nothing is left behind: the files have no names.
    assert sorted(tmp_path.iterdir()) == sorted(files)


@pytest.mark.parametrize("at_once", [4, 16])
@pytest.mark.parametrize(
    ("broken", "skipped"),
    [(set(), set()), ({0, 9}, set()), ({3, 4, 10}, {8, 2}), (set(), {0, 1, 22})],
)
def test_steps_that_are_added_together_give_the_same_as_one_by_one(
    broken: set[int], skipped: set[int], at_once: int
) -> None:
    maps = np.random.default_rng(0).normal(size=(23, 3, 2, 4, 5)).astype(np.float32)
    maps[list(broken), 0, 0, 0, 0] = np.nan

    def run(size: int) -> tuple[Dynamics, list[Measured]]:
        dynamics, found, together = Dynamics((3, 2, 4, 5), "l1"), [], []
        for place in range(23):
            if place not in skipped:
                together.append((10 * place, maps[place], place not in broken))
            if together and (place in skipped or len(together) == size or place == 22):
                found += dynamics.add(together)
                together = []
            if place in skipped:
                dynamics.pass_over()
        return dynamics, found

    (one, expected), (other, found) = run(1), run(at_once)
    for step, same in zip(found, expected, strict=True):
        np.testing.assert_equal(vars(step), vars(same))
    np.testing.assert_equal(vars(sums_of(other)), vars(sums_of(one)))
    assert (other.steps, other.transitions) == (one.steps, one.transitions)
