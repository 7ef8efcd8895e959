"""What the maps depend on: known cases, seeded, and the model as it was afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lrpdyn.architectures.model import UNKNOWN, Architecture, never
from lrpdyn.architectures.registry import Resolved
from lrpdyn.diagnostics.baseline import parse_baseline
from lrpdyn.diagnostics.sanity_checks import (
    best_to_worst,
    dependence,
    random_weights,
    upper_layers,
    with_statistics,
)
from lrpdyn.errors import UsageError
from lrpdyn.explain.explanation import Question, explain
from lrpdyn.explain.loaded import put_weights
from lrpdyn.explain.model import Model, make_model, with_plan
from lrpdyn.lrp.composites import parse_composite

X = np.random.default_rng(0).random((6, 2, 10, 10)).astype(np.float32)
QUESTION = Question(contrast="mean")


class Network(nn.Module):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(),
            nn.Flatten(), nn.Linear(144, 8), nn.ReLU(), nn.Linear(8, 3),
        )  # fmt: skip
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x * self.scale)


class Fixed(Network):
    """A network that always begins with the same convolutions."""

    def initialise(self) -> None:
        generator = torch.Generator().manual_seed(7)
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.constant_(layer.bias, 0)  # type: ignore[arg-type]
                layer.weight.data = torch.rand(layer.weight.shape, generator=generator)


def model_of(factory: type[nn.Module], rule: str) -> Model:
    resolved = Resolved(Architecture("own", factory, never, UNKNOWN), {})
    torch.manual_seed(11)
    model = make_model(resolved, None, "cpu", 4, parse_composite(rule))
    if factory is Fixed:
        model.network.initialise()
    return with_plan(model, X, None)


def depends(model: Model, networks: int) -> dict[str, Any]:
    fresh = [random_weights(model, seed) for seed in range(networks + 1)]
    return dependence(put_weights(model, {}, "as built"), X, QUESTION, fresh)


def medians(found: dict[str, Any]) -> dict[str, float]:
    return {name: values["median"] for name, values in found.items()}


def test_zplus_hardly_depends_on_what_is_above_fixed_convolutions() -> None:
    found = medians(depends(model_of(Fixed, "zplus"), 2))
    assert found["random"] > 0.95
    assert found["random_to_random"] > 0.95
    assert found["upper_layers"] > 0.95


def test_best_and_worst_are_compared_in_shares_of_the_score() -> None:
    # Flat shows the same shares for any unit; the worst one's score and map are negative.
    found = medians(depends(model_of(Network, "flat"), 1))
    assert found["best_to_worst"] > 0.9


def test_best_and_worst_are_the_same_ones_whichever_unit_is_explained() -> None:
    loaded = put_weights(model_of(Network, "epsilon"), {}, "as built")
    preferred = explain(loaded, X, QUESTION)
    found = best_to_worst(loaded, X, preferred, QUESTION)
    given = replace(QUESTION, targets=np.ones(len(X), dtype=np.int64))
    assert (preferred.target != 1).any()
    np.testing.assert_array_equal(best_to_worst(loaded, X, explain(loaded, X, given), given), found)


def test_epsilon_depends_on_everything() -> None:
    found = medians(depends(model_of(Network, "epsilon"), 3))
    assert all(value < 0.9 for value in found.values())


def test_model_and_random_state_are_as_they_were_and_numbers_repeat() -> None:
    model = model_of(Network, "zplus")
    before = {key: value.clone() for key, value in model.network.state_dict().items()}
    state = torch.random.get_rng_state()
    first = depends(model, 2)
    assert torch.equal(torch.random.get_rng_state(), state)
    for key, value in model.network.state_dict().items():
        assert torch.equal(value, before[key])
    torch.manual_seed(99)
    assert depends(model, 2) == first


def test_cosines_are_those_of_maps_made_by_hand() -> None:
    model = model_of(Network, "gamma")
    own = explain(put_weights(model, {}, "as built"), X, QUESTION)
    other = Network()
    other.load_state_dict({**model.network.state_dict(), **random_weights(model, 0)})
    resolved = Resolved(Architecture("other", lambda: other, never, UNKNOWN), {})
    random = with_plan(make_model(resolved, None, "cpu", 4, model.composite), X, None)
    maps = explain(
        put_weights(random, {}, "random"), X, Question(contrast="mean", targets=own.target)
    ).relevance
    flat, flat_random = (m.reshape(6, -1).astype(np.float64) for m in (own.relevance, maps))
    cosine = np.abs((flat * flat_random).sum(1)) / (
        np.linalg.norm(flat, axis=1) * np.linalg.norm(flat_random, axis=1)
    )
    found = depends(model, 1)
    assert found["random"]["median"] == pytest.approx(np.median(cosine), rel=1e-6)
    assert found["random_to_random"]["median"] is None


def test_upper_layers_and_what_random_networks_keep() -> None:
    model = model_of(Network, "zplus")
    upper = ["layers.6.weight", "layers.6.bias", "layers.8.weight", "layers.8.bias"]
    assert upper_layers(model) == upper
    fresh = random_weights(model, 0)
    assert "scale" not in fresh
    assert "layers.1.running_mean" in fresh
    one, two = random_weights(model, 0), random_weights(model, 1)
    assert torch.equal(one["layers.0.weight"], fresh["layers.0.weight"])
    assert not torch.equal(one["layers.0.weight"], two["layers.0.weight"])


def test_baseline_is_read() -> None:
    assert [parse_baseline(text) for text in ("none", "random", "random:5")] == [0, 2, 5]
    for text in ("random:0", "random:x", "fresh", "random:-1"):
        with pytest.raises(UsageError, match="expected none, random or random:K"):
            parse_baseline(text)


def test_random_batch_norm_has_the_statistics_of_the_observations() -> None:
    model = model_of(Network, "zplus")
    fresh = random_weights(model, 1)
    put_weights(model, fresh, "fresh")
    found = with_statistics(model, fresh, X)
    conv = nn.Conv2d(2, 4, 3)
    conv.load_state_dict({key: fresh[f"layers.0.{key}"] for key in ("weight", "bias")})
    with torch.no_grad():
        outputs = torch.stack(
            [conv(torch.from_numpy(X[part])).mean((0, 2, 3)) for part in ([0, 1, 2, 3], [4, 5])]
        )
    torch.testing.assert_close(found["layers.1.running_mean"], outputs.mean(0))
    assert not model.network.training
    assert all(not module.training for module in model.network.modules())
    assert model.network.layers[1].momentum == 0.1
    torch.testing.assert_close(model.network.state_dict()["layers.1.running_mean"], torch.zeros(4))


def test_two_units_less_their_mean_are_not_compared() -> None:
    class Pair(Network):
        def __init__(self) -> None:
            super().__init__()
            self.layers[8] = nn.Linear(8, 2)

    model = model_of(Pair, "zplus")
    loaded, fresh = put_weights(model, random_weights(model, 0), "own"), [random_weights(model, 1)]
    for contrast, known in (("mean", False), ("none", True)):
        found = dependence(loaded, X, Question(contrast=contrast), fresh)
        assert (found["best_to_worst"]["median"] is not None) == known
