"""Batches, and observations that a rule with bounds refuses."""

from __future__ import annotations

import numpy as np
import pytest

from lrpdyn.errors import UsageError
from lrpdyn.explain.model import batches, expected_observations
from tests.diagnostics.networks import Small, TwoHeads, model_of

X = np.random.default_rng(0).random((5, 2, 6, 6)).astype(np.float32)


def test_batches_say_which_samples_they_are() -> None:
    model = model_of(TwoHeads, X, batch=2)
    found = list(batches(model, X, 1))
    assert [chosen for chosen, _ in found] == [slice(1, 3), slice(3, 5)]
    for chosen, x in found:
        np.testing.assert_array_equal(x.numpy(), X[chosen])


def test_observations_outside_of_the_bounds_of_a_rule_are_refused() -> None:
    first = next(iter(model_of(TwoHeads, X, "zbox:0,1").plan.values()))
    assert first.text == "zbox:0,1"
    says = r"rule zbox:0,1: the observations lie in .*\.\.1\.9\d*, .* must hold them"
    with pytest.raises(UsageError, match=says):
        model_of(TwoHeads, 2 * X, "zbox:0,1")


def test_what_the_first_layer_takes() -> None:
    assert expected_observations(model_of(TwoHeads, X)).channels == 2
    assert expected_observations(model_of(Small, np.zeros((1, 4), "f4"))).features == 4
