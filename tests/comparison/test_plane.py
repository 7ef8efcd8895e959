"""The plane in which runs lie."""

from __future__ import annotations

import numpy as np
import pytest

from lrpdyn.comparison.plane import plane


def _unit_vectors(count: int, dimensions: int) -> np.ndarray:
    vectors = np.random.default_rng(1).normal(size=(count, dimensions))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _squared_distances(points: np.ndarray) -> np.ndarray:
    return np.square(points[:, None] - points[None]).sum(axis=2)


def test_the_plane_is_that_of_the_principal_components() -> None:
    vectors = _unit_vectors(7, 5)
    points, kept = plane(vectors @ vectors.T)
    left, lengths, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(points), np.abs(left[:, :2] * lengths[:2]), atol=1e-9)
    assert kept == pytest.approx(
        _squared_distances(points).sum() / _squared_distances(vectors).sum()
    )
    assert 0.3 < kept < 0.95


def test_distances_of_things_in_a_plane_are_all_kept() -> None:
    vectors = _unit_vectors(6, 2)
    points, kept = plane(vectors @ vectors.T)
    np.testing.assert_allclose(_squared_distances(points), _squared_distances(vectors), atol=1e-9)
    assert kept == pytest.approx(1)


def test_things_that_are_all_the_same_are_one_point() -> None:
    points, kept = plane(np.ones((4, 4)))
    np.testing.assert_allclose(points, 0, atol=1e-7)
    assert kept == 1
