"""A loaded network says which weights it has, and is refused once its network has others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lrpdyn.architectures.model import Architecture, never
from lrpdyn.architectures.registry import Resolved
from lrpdyn.diagnostics.activity import activity_of
from lrpdyn.diagnostics.at_each_step import StepEvidence
from lrpdyn.diagnostics.occlusion import agreement, effects
from lrpdyn.diagnostics.same_outputs import compare_outputs
from lrpdyn.diagnostics.sanity_checks import dependence, random_weights
from lrpdyn.diagnostics.second_look import trace
from lrpdyn.explain.explanation import Question, explain, explain_parts, outputs_of, preferred
from lrpdyn.explain.loaded import (
    LoadedNetwork,
    StaleWeightsError,
    load,
    load_again,
    load_if_there,
    loaded_now,
    other_tensors,
    other_weights,
    pinned,
    put_read,
    read,
)
from lrpdyn.explain.model import Model, make_model
from lrpdyn.lrp.composites import parse_composite
from tests.diagnostics.networks import TwoHeads, checkpoint, model_of

X = np.random.default_rng(0).random((5, 2, 6, 6)).astype(np.float32)
MEAN, FIRST = (
    Question(contrast="mean"),
    Question(contrast="mean", targets=np.zeros(5, dtype=np.int64)),
)

#: Everything that needs weights.
NEEDS_WEIGHTS: dict[str, Callable[[LoadedNetwork], Any]] = {
    "explain": lambda loaded: explain(loaded, X, MEAN),
    "outputs_of": lambda loaded: outputs_of(loaded, X),
    "preferred": lambda loaded: preferred(loaded, torch.from_numpy(X), torch.zeros(5, 3)),
    "trace": lambda loaded: trace(loaded, X, FIRST),
    "activity_of": lambda loaded: activity_of(loaded, X),
    "effects": lambda loaded: effects(loaded, X, [np.ones(X.shape, dtype=bool)], 0.0),
    "agreement": lambda loaded: agreement(loaded, X, X, 0.0, FIRST),
    "compare_outputs": lambda loaded: compare_outputs(loaded, X),
    "dependence": lambda loaded: dependence(loaded, X, MEAN, [random_weights(loaded.model, 0)]),
    "gather": lambda loaded: StepEvidence(loaded.model, X, None, trust=False).gather(loaded),
}


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return model_of(TwoHeads, X, batch=2)


@pytest.mark.parametrize("name", NEEDS_WEIGHTS)
def test_weights_that_were_replaced_are_refused(name: str, model: Model, tmp_path: Path) -> None:
    series = [checkpoint(tmp_path, step, TwoHeads()) for step in (1, 2)]
    needs_weights = NEEDS_WEIGHTS[name]
    first = load(model, series[0], trust=False)
    needs_weights(first)
    second = load_again(model, series[1], trust=False)
    with pytest.raises(StaleWeightsError, match="weights of step 2 now, not those of step 1"):
        needs_weights(first)
    needs_weights(second)


def test_weights_that_are_replaced_between_batches_are_refused(
    model: Model, tmp_path: Path
) -> None:
    series = [checkpoint(tmp_path, step, TwoHeads()) for step in (1, 2)]
    parts = explain_parts(load(model, series[0], trust=False), X, MEAN)
    next(parts)
    load(model, series[1], trust=False)
    with pytest.raises(StaleWeightsError):
        next(parts)


def test_what_is_loaded_says_which_step_and_file_it_is(model: Model, tmp_path: Path) -> None:
    entry = checkpoint(tmp_path, 7, TwoHeads())
    loaded = load(model, entry, trust=False)
    assert (loaded.step, len(loaded.digest or "")) == (7, len("xxh3_128-") + 32)
    again = load_if_there(model, entry, trust=False)
    assert again is not None
    assert again.digest is None
    np.testing.assert_array_equal(outputs_of(loaded, X), outputs_of(again, X))
    assert loaded_now(model).step == 7
    entry.path.unlink()
    assert load_if_there(model, entry, trust=False) is None


def test_what_was_read_goes_into_the_network_later(model: Model, tmp_path: Path) -> None:
    one, two = (checkpoint(tmp_path, step, TwoHeads()) for step in (1, 2))
    expected = outputs_of(load(model, two, trust=False), X)
    found = read(two, trust=False)
    assert found.stamp["size"] == two.path.stat().st_size
    outputs = outputs_of(load(model, one, trust=False), X)
    assert not np.array_equal(outputs, expected)
    loaded = put_read(model, found)
    assert (loaded.step, loaded.digest) == (2, load(model, two, trust=False).digest)
    np.testing.assert_array_equal(outputs_of(put_read(model, found), X), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no graphics card")
def test_pinned_weights_arrive_on_a_gpu(tmp_path: Path) -> None:
    model = make_model(
        Resolved(Architecture("own", TwoHeads, never), {}), None, "cuda", 2, parse_composite("zplus")
    )  # fmt: skip
    expected = TwoHeads()
    put_read(model, pinned(read(checkpoint(tmp_path, 1, expected), trust=False)))
    on_gpu = model.network.state_dict()
    assert all(torch.equal(on_gpu[key].cpu(), value) for key, value in expected.state_dict().items()
               if not key.startswith("value"))  # fmt: skip


def test_other_weights_are_given_back(model: Model, tmp_path: Path) -> None:
    loaded = load(model, checkpoint(tmp_path, 1, TwoHeads()), trust=False)
    before = outputs_of(loaded, X)
    with other_weights(model, random_weights(model, 0), "a random network") as random:
        assert np.abs(outputs_of(random, X) - before).max() > 1e-3
        with pytest.raises(StaleWeightsError, match="of a random network now, not those of step 1"):
            outputs_of(loaded, X)
    np.testing.assert_array_equal(outputs_of(loaded, X), before)
    with pytest.raises(StaleWeightsError, match="of step 1 now, not those of a random network"):
        outputs_of(random, X)


class Remembers(TwoHeads):
    """Keeps a sum of its weights while it is evaluated, as those do that merge some."""

    kept: torch.Tensor | None = None

    def train(self, mode: bool = True) -> Remembers:
        self.kept = None
        return super().train(mode)

    def path(self, head: str) -> torch.nn.Module:
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kept is None:
            self.kept = self.policy.weight.sum()
        return self.policy(self.hidden(self.body(x))) + self.kept


def test_some_tensors_are_changed_and_given_back(tmp_path: Path) -> None:
    model = make_model(
        Resolved(Architecture("own", Remembers, never), {}),
        None,
        "cpu",
        2,
        parse_composite("zplus"),
    )
    loaded = load(model, checkpoint(tmp_path, 1, Remembers()), trust=False)
    bias, weight = model.network.policy.bias, model.network.policy.weight
    own, x = [tensor.detach().clone() for tensor in (bias, weight)], torch.from_numpy(X)
    before = loaded.path(x).detach()
    pairs = [(bias.detach(), own[0] + 1), (weight.detach(), own[1] + 1)]
    with other_tensors(loaded, pairs, "another policy") as other:
        expected = Remembers()
        expected.load_state_dict(model.network.state_dict())
        assert torch.equal(other.path(x), expected(x))
        assert not torch.allclose(other.path(x), before)
        with pytest.raises(StaleWeightsError, match="of another policy now, not those of step 1"):
            assert loaded.path
    assert torch.equal(loaded.path(x), before)
    assert torch.equal(bias, own[0])
    with pytest.raises(StaleWeightsError), other_tensors(other, pairs, "a third"):
        pass
    with pytest.raises(ValueError, match="stop"), other_tensors(loaded, pairs, "another policy"):
        raise ValueError("stop")
    assert torch.equal(loaded.path(x), before)


def test_a_model_without_weights_has_none_to_give(model: Model) -> None:
    with pytest.raises(AssertionError, match="no weights were loaded"):
        loaded_now(model)
