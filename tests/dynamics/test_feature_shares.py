"""The strongest features of a step, against shares that are taken sample by sample."""

from __future__ import annotations

import numpy as np

from lrpdyn.dynamics.feature_shares import MOST_FEATURES, strongest_features, summed_shares


def test_each_sample_with_a_map_counts_alike() -> None:
    maps = np.array([[1.0, -3, 0], [0, 0, 0], [200, 0, 200], [np.nan, 1, 1], [np.inf, 0, 0]])
    features, shares = strongest_features([summed_shares(maps[:2]), summed_shares(maps[2:])])
    # (1/4 + 1/2) / 2, (3/4 + 0) / 2 and (0 + 1/2) / 2: the lower number first where they are equal.
    assert features.tolist() == [0, 1, 2]
    assert shares.tolist() == [0.375, 0.375, 0.25]


def test_nothing_is_known_without_a_map() -> None:
    _, shares = strongest_features([summed_shares(np.zeros((2, 3)))])
    assert np.isnan(shares).all()


def test_of_very_many_the_strongest_are_kept() -> None:
    maps = np.random.default_rng(0).permutation(1000.0 * np.arange(1000)).reshape(1, -1)
    features, shares = strongest_features([summed_shares(maps)])
    assert maps[0, features].tolist() == sorted(maps[0], reverse=True)[:MOST_FEATURES]
    np.testing.assert_allclose(shares, maps[0, features] / maps.sum())
