"""Maps are better only where they are by more than the interval, under both fills."""

from __future__ import annotations

import numpy as np

from lrpdyn.diagnostics.reference_gain import TwoFills, gain, is_better, spread


def test_a_gain_is_of_the_same_observations() -> None:
    values = np.random.default_rng(1).normal(size=(3, 8))
    found = gain(values + 0.1, values)
    np.testing.assert_allclose([found.low, found.median, found.high], 0.1, atol=1e-12)
    alone = spread(values)
    assert alone.low < alone.median == np.median(values) < alone.high


def test_better_is_under_both_fills() -> None:
    values = np.random.default_rng(1).normal(size=(3, 8))
    alone = TwoFills(fill=values, other=values)
    assert is_better(TwoFills(fill=values + 0.1, other=values + 0.1), alone)
    assert not is_better(TwoFills(fill=values + 9, other=values), alone)
    assert not is_better(TwoFills(fill=values - 0.1, other=values + 9), alone)
    # One observation of eight that is better says nothing.
    once = values + np.array([9.0] + [0.0] * 7)
    assert not is_better(TwoFills(fill=once, other=once), alone)
