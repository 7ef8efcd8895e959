"""Evidence of a loaded network, against hand values and against torch itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import Tensor, nn

from lrpdyn.architectures.model import Architecture, never
from lrpdyn.architectures.registry import Resolved
from lrpdyn.checkpoints.model import Checkpoint, Header
from lrpdyn.diagnostics.at_each_step import StepEvidence, layer_names
from lrpdyn.diagnostics.dead_units import Activity, activation_layers, dead_units
from lrpdyn.diagnostics.occlusion import agreement, distance, effects, patch_masks, region_effects
from lrpdyn.diagnostics.random_networks import mean_of_networks, measure_network
from lrpdyn.diagnostics.sanity_checks import random_weights
from lrpdyn.diagnostics.second_look import SecondLook
from lrpdyn.diagnostics.trace import denominators, trace
from lrpdyn.diagnostics.weight_change import (
    advance,
    copied,
    layers_with_weights,
    lengths,
    not_finite,
)
from lrpdyn.explain.explanation import Question, chosen_samples, explain
from lrpdyn.explain.model import Model, load, make_model, with_plan
from lrpdyn.lrp.attribution import explain as explain_rows
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.observations.checked_samples import checked_samples
from lrpdyn.observations.regions import Painting, Regions
from lrpdyn.outliers.facts import UNAVAILABLE, Evidence, RunFacts, Wanted
from tests.outliers.made_up import calm_run


class TwoHeads(nn.Module):
    """Shared features, and a head that is explained beside one that is not."""

    heads = ("policy", "value")

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(4 * 4 * 4, 6), nn.Tanh())
        self.policy, self.value = nn.Linear(6, 3), nn.Linear(6, 1)

    def path(self, head: str) -> nn.Module:
        return nn.Sequential(self.body, self.hidden, getattr(self, head))


def model_of(factory: Any, observations: np.ndarray, rule: str = "zplus", batch: int = 64) -> Model:
    resolved = Resolved(Architecture("own", factory, never), {})
    model = make_model(resolved, None, "cpu", batch, parse_composite(rule))
    return with_plan(model, observations, None)


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).random((5, 2, 6, 6)).astype(np.float32)


@pytest.fixture
def model(pictures: np.ndarray) -> Model:
    torch.manual_seed(0)
    return model_of(TwoHeads, pictures)


def test_weights_of_the_path_by_the_names_of_the_checkpoint(model: Model) -> None:
    weights = layers_with_weights(model.network, model.path)
    assert set(weights) == {"body.0", "hidden.0", "policy"}
    assert set(layer_names(model).values()) >= {"body.0", "hidden.0", "policy"}
    before = {name: tuple(t.clone() for t in own) for name, own in weights.items()}
    assert advance(copied(before), weights, lengths(before)) == {
        "body.0": 0,
        "hidden.0": 0,
        "policy": 0,
    }
    with torch.no_grad():
        model.network.policy.weight.mul_(3)
        model.network.value.weight.mul_(3)
    change = advance(copied(before), weights, lengths(before))
    weight, bias = before["policy"]
    expected = 2 * weight.norm() / torch.cat([weight.flatten(), bias]).norm()
    assert change["policy"] == pytest.approx(float(expected), rel=1e-6)
    assert change["body.0"] == 0
    assert not_finite(lengths(weights)) == []
    with torch.no_grad():
        model.network.hidden[0].bias[2] = 1e30  # its square is beyond float32
    assert not_finite(lengths(weights)) == []
    assert lengths(weights)["hidden.0"] == pytest.approx(1e30)
    with torch.no_grad():
        model.network.hidden[0].bias[2] = torch.inf
    assert not_finite(lengths(weights)) == ["hidden.0"]
    assert advance(copied(before), weights, lengths(before))["hidden.0"] is None
    zero = {name: tuple(torch.zeros_like(t) for t in own) for name, own in before.items()}
    assert advance(copied(zero), before, lengths(zero))["policy"] is None


def test_dead_units_are_channels_and_neurons_that_nothing_moves(
    model: Model, pictures: np.ndarray
) -> None:
    x = torch.from_numpy(pictures)
    names = layer_names(model)

    def dead() -> dict[str, float]:
        return {names[k]: v for k, v in dead_units(model.explained, iter([x[:2], x[2:]])).items()}

    def watched() -> dict[str, float]:
        activity = Activity(model.explained)
        with activity.watching():
            for part in (slice(0, 2), slice(2, None)):
                explain(model, pictures[part], Question("mean"))
        return {names[k]: v for k, v in (activity.dead() or {}).items()}

    assert dead() == {"body.0": 0, "hidden.0": 0}
    with torch.no_grad():
        model.network.body[0].bias[1] = -100  # below zero at every place
        model.network.hidden[0].bias[:3] = 50  # a tanh that is saturated
    assert dead() == watched() == {"body.0": 0.25, "hidden.0": 0.5}
    with torch.no_grad():
        model.network.body[0].weight[2] = 0
        model.network.body[0].weight[2, 0, 1, 1] = 1
        model.network.body[0].bias[2] = -float(x[:, 0, 1:5, 1:5].max()) + 1e-4
    # One place of one sample is enough to be alive.
    assert dead()["body.0"] == watched()["body.0"] == 0.25


def test_scaling_of_the_observation_is_no_activation() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x / 255)

    observations = np.full((2, 4), 100, dtype=np.float32)
    scaled = model_of(Scaled, observations)
    assert len(activation_layers(scaled.explained)) == 1
    assert max(dead_units(scaled.explained, iter([torch.from_numpy(observations)])).values()) <= 1


def test_random_networks_and_regions_are_measured_batch_by_batch(pictures: np.ndarray) -> None:
    torch.manual_seed(0)
    whole = model_of(TwoHeads, pictures)
    parts = model_of(TwoHeads, pictures, batch=2)
    parts.network.load_state_dict(whole.network.state_dict())
    masks = np.zeros((2, 5, 1, 6, 6), dtype=bool)
    masks[0, :, :, :3], masks[1, 1:3, :, 4:] = True, True
    regions = Regions(names=("top", "some"), masks=masks, sha256="")
    asked, fresh = Question("mean"), [random_weights(whole, seed) for seed in range(2)]
    of_whole, of_parts = (
        mean_of_networks(
            [measure_network(model, pictures, asked, network, regions) for network in fresh],
            regions,
        )
        for model in (whole, parts)
    )
    assert of_whole is not None
    assert of_parts is not None
    np.testing.assert_allclose(of_parts.entropy, of_whole.entropy, rtol=1e-5)
    np.testing.assert_allclose(of_parts.shares, of_whole.shares, rtol=1e-5)
    one, two = (region_effects(model, pictures, Painting(regions, 0.0)) for model in (whole, parts))
    np.testing.assert_allclose(two, one, rtol=1e-4)
    assert np.isnan(two[1]).tolist() == [True, False, False, True, True]


def gathered(look: SecondLook, facts: RunFacts, wanted: Wanted) -> Evidence:
    return look.evidence(wanted, facts, [work() for work in look.works(wanted, facts)])


def test_of_many_samples_a_second_look_traces_those_that_stand_out_too(tmp_path: Path) -> None:
    many = np.random.default_rng(0).random((200, 2, 6, 6)).astype(np.float32)
    torch.manual_seed(3)
    model = model_of(TwoHeads, many, batch=48)
    series = {100 * i: checkpoint(tmp_path, 100 * i, TwoHeads()) for i in range(2)}
    targets = {step: np.arange(200) % 3 for step in series}

    def unread(step: int, samples: Sequence[int]) -> np.ndarray:
        raise AssertionError("no maps are needed")

    look = SecondLook(model, many, Question("mean"), "none", series, targets, unread, trust=False)
    found = gathered(look, calm_run(2, 200), Wanted((1,), (0, 1), {}, {1: (2, 7)}))
    told = set(found[1, "conservation_failure"]["samples"])
    assert told == {2, 7, *checked_samples(200)}
    assert not {2, 7} & set(checked_samples(200))
    # What is told of a sample is told of that sample, wherever it stands among those traced.
    load(model, series[100], trust=False)
    alone = trace(*chosen_samples(model, many, Question("mean", targets[100]), [7]))
    share = float(
        found[1, "conservation_failure"]["samples"][7].split("gives on ")[1].split(" %")[0]
    )
    assert share == pytest.approx(100 * alone.most_lost_at(0)[1], rel=5e-3)


class Small(nn.Module):
    """Weights by hand: four inputs, a ReLU, one output."""

    heads = ("value",)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 2), nn.Linear(2, 1)

    def path(self, head: str) -> nn.Module:
        return nn.Sequential(self.first, nn.ReLU(), self.last)


def small(last: list[float], bias: float = 0.0, rule: str = "zplus") -> tuple[Model, np.ndarray]:
    observations = np.array([[1, 1, 0, 0], [2, 0, 1, 1]], dtype=np.float32)
    built = model_of(Small, observations, rule)
    with torch.no_grad():
        built.network.first.weight.copy_(torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]]))
        built.network.first.bias.zero_()
        built.network.last.weight.copy_(torch.tensor([last]))
        built.network.last.bias.fill_(bias)
    return built, observations


def test_a_trace_names_the_layer_at_which_relevance_vanished() -> None:
    built, observations = small([-1.0, -1.0])
    found = trace(built, observations, Question("none", np.zeros(2, dtype=np.int64)))
    assert found.layers[0] == "last"
    assert found.rules[0] == "zplus"
    assert [found.vanished_at(n) for n in range(2)] == [0, 0]
    np.testing.assert_allclose(found.came[0], [2, 4])
    assert not found.went[0].any()
    whole, observations = small([1.0, 1.0])
    found = trace(whole, observations, Question("none", np.zeros(2, dtype=np.int64)))
    assert [found.vanished_at(n) for n in range(2)] == [None, None]
    np.testing.assert_allclose(found.kept, 1, rtol=1e-5)


def test_a_trace_tells_relevance_that_is_divided_by_next_to_nothing() -> None:
    built, observations = small([-1.0, 1e-4])
    found = trace(built, observations, Question("none", np.zeros(2, dtype=np.int64)))
    # Sample 0 has no second feature, and its relevance vanishes; sample 1 has -2 over 2e-4.
    assert found.vanished_at(0) == 0
    layer, share = found.smallest_at(1)
    assert (found.layers[layer], share) == ("last", 1)
    plain, observations = small([1.0, 1.0])
    found = trace(plain, observations, Question("none", np.zeros(2, dtype=np.int64)))
    assert [found.smallest_at(n)[1] for n in range(2)] == [0, 0]


def test_a_trace_tells_where_a_bias_absorbed() -> None:
    built, observations = small([1.0, 1.0], bias=6.0)
    found = trace(built, observations, Question("none", np.zeros(2, dtype=np.int64)))
    layer, kept = found.most_lost_at(0)
    assert (found.layers[layer], kept) == ("last", pytest.approx(2 / 8, rel=1e-5))


def test_traces_do_not_depend_on_batches(pictures: np.ndarray) -> None:
    question = Question("mean", np.array([0, 1, 2, 1, 0]))
    torch.manual_seed(0)
    whole = trace(model_of(TwoHeads, pictures), pictures, question)
    torch.manual_seed(0)
    parts = trace(model_of(TwoHeads, pictures, batch=2), pictures, question)
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


def test_distances_are_those_of_scipy() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.dirichlet(np.ones(4), size=(2, 6))
    one[0], other[0] = [1, 0, 0, 0], [0, 1, 0, 0]
    found = distance(one, other, probabilities=True)
    np.testing.assert_allclose(found, jensenshannon(one, other, axis=1), atol=1e-12)
    assert found[0] == pytest.approx(math.sqrt(math.log(2)))
    assert distance(one, one, probabilities=True).tolist() == [0] * 6
    plain = distance(one, other, probabilities=False)
    np.testing.assert_allclose(plain, np.abs(one - other).sum(axis=1))


def test_effects_are_those_of_painting_by_hand(model: Model, pictures: np.ndarray) -> None:
    masks = [np.zeros(pictures.shape, dtype=bool) for _ in range(2)]
    masks[0][:, :, :3] = True
    masks[1][1:, 0, 2, 2] = True
    found = effects(model, pictures, masks, 0.5)
    painted = pictures.copy()
    painted[:, :, :3] = 0.5
    with torch.no_grad():
        before, after = (
            model.path(torch.from_numpy(values)).softmax(dim=1).numpy().astype(float)
            for values in (pictures, painted)
        )
    np.testing.assert_allclose(found[0], jensenshannon(before, after, axis=1), rtol=1e-3, atol=1e-6)
    assert np.isnan(found[1, 0])
    assert np.isfinite(found[1, 1:]).all()


def test_relevance_of_a_linear_network_agrees_with_painting() -> None:
    class Linear(nn.Module):
        heads = ("value",)

        def __init__(self) -> None:
            super().__init__()
            self.only = nn.Linear(36, 1)

        def path(self, head: str) -> nn.Module:
            return nn.Sequential(nn.Flatten(), self.only)

    torch.manual_seed(0)
    observations = np.random.default_rng(0).random((3, 1, 6, 6)).astype(np.float32)
    built = model_of(Linear, observations, "lrp0")
    question = Question("none", np.zeros(3, dtype=np.int64))
    maps = explain(built, observations, question).relevance
    found = agreement(built, observations, maps, 0.0, question)
    # Of a linear network with one entry in a patch, x times w is what painting x with zero takes.
    assert found == {"samples": 3, "rule": pytest.approx(1), "gradient": pytest.approx(1)}
    noise = np.random.default_rng(1).random(maps.shape).astype(np.float32)
    other = agreement(built, observations, noise, 0.0, question)
    assert other["rule"] is not None
    assert abs(other["rule"]) < 0.6
    empty = agreement(built, np.zeros_like(observations), maps, 0.0, question)
    assert empty == {"samples": 0, "rule": None, "gradient": None}


def test_patches_cover_everything_once() -> None:
    for shape in ((2, 3, 10, 24), (2, 1, 5, 5), (2, 4), (2, 100)):
        masks = patch_masks(shape)
        total = sum(np.broadcast_to(mask, shape).astype(int) for mask in masks)
        assert (total == 1).all()
        assert len(masks) <= 49


def checkpoint(folder: Path, step: int, network: nn.Module) -> Checkpoint:
    path = folder / f"net_{step}.pt"
    torch.save(network.state_dict(), path)
    return Checkpoint(step, path, "torch", "name", Header({}))


def test_evidence_of_a_step_is_against_the_checkpoint_before_it(
    model: Model, pictures: np.ndarray, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    series = [checkpoint(tmp_path, step, TwoHeads()) for step in (1, 2, 3)]
    own = torch.load(series[2].path, weights_only=True)

    def gather(history: list[Checkpoint]) -> dict[str, Any]:
        evidence = StepEvidence(model, pictures, None, trust=False)
        found: dict[str, Any] = {}
        for before, now in zip([None, *history], history, strict=False):
            evidence.hold(before)
            model.network.load_state_dict(torch.load(now.path, weights_only=True))
            found = evidence.gather(now.step, before)
        return found

    through = gather(series)
    # A run that goes on at the third step loads the second once more, and tells the same.
    evidence = StepEvidence(model, pictures, None, trust=False)
    evidence.hold(series[1])
    model.network.load_state_dict(own)
    assert evidence.gather(3, series[1]) == through
    assert through["weights"]["from_step"] == 2
    assert through["key"] == [2, None]
    assert gather([series[0], series[2]])["weights"]["from_step"] == 1
    series[1].path.unlink()
    evidence = StepEvidence(model, pictures, None, trust=False)
    evidence.hold(series[1])
    model.network.load_state_dict(own)
    assert evidence.gather(3, series[1])["weights"] == {"from_step": 2, "change": None}


def test_a_second_look_tells_what_a_flip_is_worth(
    model: Model, pictures: np.ndarray, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    networks = [TwoHeads() for _ in range(3)]
    series = {100 * i: checkpoint(tmp_path, 100 * i, net) for i, net in enumerate(networks)}
    maps, targets = {}, {0: np.zeros(5, dtype=np.int64), 100: np.full(5, 2)}
    for step, unit in targets.items():
        model.network.load_state_dict(torch.load(series[step].path, weights_only=True))
        maps[step] = explain(model, pictures, Question("mean", unit)).relevance
    look = SecondLook(model, pictures, Question("mean"), "none", series, targets,
                      lambda step, samples: maps[step][list(samples)], trust=False)  # fmt: skip
    flips = Wanted((), (), {0: (1, 4)}, {})
    found = gathered(look, calm_run(2, 5), flips)[1, "action_flip"]["samples"]
    kept = explain(model, pictures, Question("mean", targets[0])).relevance
    for n in (1, 4):
        change = np.abs(maps[100][n] - maps[0][n]).sum()
        without = np.abs(kept[n] - maps[0][n]).sum()
        assert found[n] == pytest.approx(1 - without / change, abs=1e-5)
    series[100].path.unlink()
    again = gathered(look, calm_run(2, 5), Wanted((1,), (0,), {0: (1,)}, {}))
    assert again[1, "action_flip"]["samples"] == {1: UNAVAILABLE}
    assert again[1, "vanished_relevance"]["gone"]
