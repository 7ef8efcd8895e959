"""Clusters beside SciPy's and scikit-learn's, and one group beside two."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import silhouette_score

from lrpdyn.comparison.clusters import average_linkage, chance_of_one_group, groups_of, silhouette


def similarities(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


@pytest.mark.parametrize("seed", range(5))
def test_trees_and_silhouettes_are_those_of_scipy_and_scikit_learn(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(12, 3))
    apart = np.linalg.norm(points[:, None] - points, axis=2)
    tree, other = average_linkage(apart), linkage(squareform(apart, checks=False), "average")
    for number in range(2, 9):
        labels, expected = tree[number], fcluster(other, number, "maxclust")
        assert ((labels[:, None] == labels) == (expected[:, None] == expected)).all()
        score = silhouette_score(apart, labels, metric="precomputed")
        assert silhouette(apart, labels) == pytest.approx(score)


def test_two_groups_are_told_from_one_and_a_thing_alone_is_in_none() -> None:
    dice = np.random.default_rng(0)
    vectors = np.eye(30)[0] * 9 + dice.normal(size=(10, 30)) * 0.5
    assert chance_of_one_group(similarities(vectors), 99) > 0.05
    stretched = vectors + np.eye(30)[1] * dice.normal(size=(10, 1)) * 2
    assert chance_of_one_group(similarities(stretched), 99) > 0.05
    vectors[::2, 1] += 6
    vectors[9] = 9 * np.eye(30)[2]
    labels, score, _ = groups_of(similarities(vectors))
    assert labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0, -1]
    assert score > 0.5
    assert chance_of_one_group(similarities(vectors), 99) <= 0.05
