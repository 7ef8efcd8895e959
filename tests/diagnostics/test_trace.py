"""Where relevance went, against hand values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lrpdyn.diagnostics.at_each_step import layer_names
from lrpdyn.diagnostics.trace import denominators, trace
from lrpdyn.explain.explanation import Question
from lrpdyn.lrp.attribution import explain as explain_rows
from tests.diagnostics.networks import Small, TwoHeads, loaded_of, model_of, small


def test_a_trace_names_the_layer_at_which_relevance_vanished() -> None:
    built, observations = small([-1.0, -1.0])
    found = trace(
        built, observations, Question(contrast="none", targets=np.zeros(2, dtype=np.int64))
    )
    assert found.layers[0] == "last"
    assert found.rules[0] == "zplus"
    assert [found.vanished_at(n) for n in range(2)] == [0, 0]
    np.testing.assert_allclose(found.came[0], [2, 4])
    assert not found.went[0].any()
    whole, observations = small([1.0, 1.0])
    found = trace(
        whole, observations, Question(contrast="none", targets=np.zeros(2, dtype=np.int64))
    )
    assert [found.vanished_at(n) for n in range(2)] == [None, None]
    np.testing.assert_allclose(found.kept, 1, rtol=1e-5)


def test_a_trace_tells_relevance_that_is_divided_by_next_to_nothing() -> None:
    built, observations = small([-1.0, 1e-4])
    found = trace(
        built, observations, Question(contrast="none", targets=np.zeros(2, dtype=np.int64))
    )
    # Sample 0 has no second feature, and its relevance vanishes; sample 1 has -2 over 2e-4.
    assert found.vanished_at(0) == 0
    layer, share = found.smallest_at(1)
    assert (found.layers[layer], share) == ("last", 1)
    plain, observations = small([1.0, 1.0])
    found = trace(
        plain, observations, Question(contrast="none", targets=np.zeros(2, dtype=np.int64))
    )
    assert [found.smallest_at(n)[1] for n in range(2)] == [0, 0]


def test_a_trace_tells_where_a_bias_absorbed() -> None:
    built, observations = small([1.0, 1.0], bias=6.0)
    found = trace(
        built, observations, Question(contrast="none", targets=np.zeros(2, dtype=np.int64))
    )
    layer, kept = found.most_lost_at(0)
    assert (found.layers[layer], kept) == ("last", pytest.approx(2 / 8, rel=1e-5))


def test_traces_do_not_depend_on_batches(pictures: np.ndarray) -> None:
    question = Question(contrast="mean", targets=np.array([0, 1, 2, 1, 0]))
    torch.manual_seed(0)
    whole = trace(loaded_of(TwoHeads, pictures), pictures, question)
    torch.manual_seed(0)
    parts = trace(loaded_of(TwoHeads, pictures, batch=2), pictures, question)
    assert whole.layers == parts.layers
    np.testing.assert_allclose(whole.went, parts.went, rtol=1e-4)


@pytest.mark.parametrize("rule", ["zplus", "epsilon", "gamma:0.5", "alphabeta:2,1"])
def test_denominators_are_those_of_the_rule(rule: str) -> None:
    torch.manual_seed(1)
    observations = np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)
    built = model_of(Small, observations, rule)
    x = torch.from_numpy(observations)
    done = explain_rows(built.explained, built.plan, x, lambda o: torch.ones_like(o), keep=True)
    first = next(d for name, d in done.layers.items() if layer_names(built)[name] == "first")
    weight, bias = (t.detach().double() for t in built.network.first.parameters())
    parts = x.double()[:, None, :] * weight
    output = parts.sum(dim=2) + bias
    positive = parts.clamp(min=0).sum(dim=2) + bias.clamp(min=0)
    if rule == "epsilon":
        expected = output
    elif rule == "gamma:0.5":
        expected = output + 0.5 * torch.where(output > 0, positive, output - positive)
    else:
        expected = positive
    found = denominators(first)
    assert found is not None
    np.testing.assert_allclose(found.double(), expected, rtol=1e-4, atol=1e-6)
