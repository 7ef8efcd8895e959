"""Streamed sums against NumPy in memory, and the split of a change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lrpdyn.dynamics import Dynamics, entropy, normalise, scale_share
from lrpdyn.errors import UsageError

numbers = st.floats(-100, 100, width=32).map(lambda v: 0.0 if abs(v) < 1e-3 else v)


@given(
    arrays(np.float32, (5, 2, 3, 4), elements=numbers),
    st.sampled_from(["none", "l1", "max", "minmax"]),
)
@settings(max_examples=60, deadline=None)
def test_streamed_equals_in_memory(maps: np.ndarray, how: str) -> None:
    dynamics = Dynamics(maps.shape[1:], how)
    moves = [dynamics.add(step, values)[1] for step, values in enumerate(maps)]
    copies = np.stack([normalise(values, how) for values in maps])
    differences = np.abs(np.diff(copies, axis=0))
    np.testing.assert_allclose(dynamics.dynamics, differences.sum(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        dynamics.net_change, np.abs(copies[-1] - copies[0]), rtol=1e-6, atol=1e-6
    )
    assert moves[0] is None
    for move, expected in zip(moves[1:], differences, strict=True):
        assert move is not None
        np.testing.assert_allclose(move.change, expected.sum(axis=(1, 2)), rtol=1e-12)


@given(arrays(np.float64, (2, 3, 6), elements=numbers))
@settings(max_examples=100, deadline=None)
def test_scale_and_shape_are_the_singular_vector_split(maps: np.ndarray) -> None:
    before, after = maps
    share = scale_share(before, after)
    for n in range(3):
        change = after[n] - before[n]
        if not change.any():
            assert np.isnan(share[n])
            continue
        u, values, _ = np.linalg.svd(np.stack([before[n], after[n]], axis=1), full_matrices=False)
        if np.isclose(values[0], values[1], rtol=1e-6):
            continue  # the first singular vector is then not unique
        scale = u[:, 0] * (u[:, 0] @ change)
        shape = change - scale
        total = change @ change
        assert share[n] == pytest.approx(scale @ scale / total, abs=1e-7)
        assert scale @ scale + shape @ shape == pytest.approx(total)


def test_pure_growth_is_all_scale() -> None:
    before = np.random.default_rng(0).normal(size=(4, 50))
    assert scale_share(before, 3 * before) == pytest.approx(1.0)


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


def test_not_finite_steps_are_never_bridged() -> None:
    maps = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((4, 1, 2), dtype=np.float32)
    maps[2, 0, 0] = np.nan
    dynamics = Dynamics((1, 2))
    moves = [dynamics.add(step, values)[1] for step, values in enumerate(maps)]
    assert [move is not None for move in moves] == [False, True, False, False]
    assert dynamics.dynamics.tolist() == [[1, 1]]
    assert dynamics.net_change.tolist() == [[3, 3]]
    assert dynamics.steps == 3
