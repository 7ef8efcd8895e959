"""Explanations of parts of the samples, and of outputs that are not finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lrpdyn.explain.explanation import Question, chosen_samples, explain, outputs_of
from lrpdyn.explain.loaded import LoadedNetwork
from tests.diagnostics.networks import TwoHeads, loaded_of

X = np.random.default_rng(0).random((5, 2, 6, 6)).astype(np.float32)
FIXED = Question(
    contrast="runner-up", targets=np.array([0, 1, 2, 1, 0]), runner_up=np.array([1, 2, 0, 0, 2])
)


@pytest.fixture
def loaded() -> LoadedNetwork:
    torch.manual_seed(0)
    return loaded_of(TwoHeads, X, batch=2)


def test_scores_are_those_of_the_outputs(loaded: LoadedNetwork) -> None:
    outputs = outputs_of(loaded, X)
    found = explain(loaded, X, FIXED)
    np.testing.assert_allclose(found.outputs, outputs, rtol=1e-6)
    each = np.arange(5)
    np.testing.assert_allclose(
        found.score, outputs[each, FIXED.targets] - outputs[each, FIXED.runner_up], rtol=1e-6
    )
    assert found.target.tolist() == [0, 1, 2, 1, 0]
    assert found.argmax.tolist() == outputs.argmax(axis=1).tolist()
    mean = explain(loaded, X, Question(contrast="mean"))
    np.testing.assert_allclose(mean.score, outputs.max(axis=1) - outputs.mean(axis=1), rtol=1e-5)


def test_some_samples_are_explained_as_among_all(loaded: LoadedNetwork) -> None:
    part, shown, question = chosen_samples(loaded, X, FIXED, [4, 1])
    whole = explain(loaded, X, FIXED)
    found = explain(part, shown, question)
    np.testing.assert_allclose(found.relevance, whole.relevance[[4, 1]], rtol=1e-4, atol=1e-7)
    assert found.target.tolist() == [0, 1]


def test_outputs_that_are_not_finite_have_no_relevance(loaded: LoadedNetwork) -> None:
    assert explain(loaded, X, Question(contrast="mean")).finite
    with torch.no_grad():
        loaded.model.network.policy.bias[0] = torch.inf
    found = explain(loaded, X, Question(contrast="mean"))
    assert not found.finite
    assert np.isnan(found.relevance).all()
