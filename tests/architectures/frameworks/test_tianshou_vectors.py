"""Tianshou's own networks for flat observations: recognised, and the same outputs."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from lrpdyn.architectures.registry import path_of
from lrpdyn.errors import ArchitectureError
from tests.architectures.conftest import Compare, Load
from tests.architectures.frameworks.tianshou_networks import under

pytestmark = pytest.mark.frameworks

X = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def tianshou() -> Any:
    """Return Tianshou's networks, which are slow to import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("tianshou")
        from tianshou.utils.net import common, continuous, discrete
    return SimpleNamespace(**vars(common) | vars(continuous) | vars(discrete))


def net(tianshou: Any, actions: int = 0, **options: Any) -> Any:
    torch.manual_seed(0)
    return tianshou.Net(state_shape=5, action_shape=actions, hidden_sizes=[16, 12], **options)


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("names", [("",), ("policy.model", "model_old")])
def test_q_values(
    tianshou: Any, names: tuple[str, ...], dueling: bool, load: Load, compare: Compare
) -> None:
    stream = {"hidden_sizes": [8], "activation": nn.Tanh}
    options = {"dueling_param": (dict(stream), dict(stream))} if dueling else {}
    theirs = net(tianshou, 3, activation=nn.Tanh, **options)
    weights = under(*names, weights=theirs.state_dict()) if names[0] else theirs.state_dict()
    with pytest.raises(ArchitectureError, match="activation of the hidden layers is neither"):
        load(weights)
    resolved, ours = load(weights, activation="tanh")
    assert (resolved.architecture.name, ours.heads) == ("tianshou-net", ("q",))
    with torch.no_grad():
        compare(ours, X, theirs(X)[0])


@pytest.mark.parametrize("hidden", [(), (7,)])
def test_logits_of_a_discrete_actor(
    tianshou: Any, hidden: tuple[int, ...], load: Load, compare: Compare
) -> None:
    features = net(tianshou, activation=nn.Tanh)
    actor = tianshou.DiscreteActor(
        preprocess_net=features, action_shape=3, hidden_sizes=hidden, softmax_output=False
    )
    critic = tianshou.DiscreteCritic(preprocess_net=features)
    weights = {
        **under("policy.actor", weights=actor.state_dict()),
        **under("critic", weights=critic.state_dict()),
    }
    resolved, ours = load(weights, activation="tanh")
    assert resolved.architecture.name == "tianshou-actor"
    assert "ReLU in perceptrons behind the features" in resolved.assumed[0]
    assert not hasattr(ours, "action_space")  # DDPG's actor has the same weights
    with torch.no_grad():
        compare(ours, X, actor(X)[0])


@pytest.mark.parametrize("conditioned", [False, True])
def test_means_of_a_continuous_actor(
    tianshou: Any, conditioned: bool, load: Load, compare: Compare
) -> None:
    actor = tianshou.ContinuousActorProbabilistic(
        preprocess_net=net(tianshou, activation=nn.Tanh), action_shape=2, unbounded=True,
        conditioned_sigma=conditioned,
    )  # fmt: skip
    critics = {
        f"{name}.preprocess.model.model.0.weight": torch.zeros(16, 7)
        for name in ("critic", "critic2", "critic_old")
    }
    weights = {**under("policy.actor", weights=actor.state_dict()), **critics}
    resolved, ours = load(weights, activation="tanh")
    assert (resolved.architecture.name, ours.action_space) == ("tianshou-actor-means", "box")
    with torch.no_grad():
        compare(ours, X, actor(X)[0][0])


@pytest.mark.parametrize("names", [("",), ("policy.model", "model_old")])
def test_a_recurrent_network(tianshou: Any, names: tuple[str, ...], load: Load) -> None:
    torch.manual_seed(0)
    theirs = tianshou.Recurrent(layer_num=2, state_shape=5, action_shape=3, hidden_layer_size=8)
    weights = under(*names, weights=theirs.state_dict()) if names[0] else theirs.state_dict()
    resolved, ours = load(weights)
    assert resolved.architecture.name == "tianshou-recurrent"
    path: Any = path_of(ours, None)[1]
    states = {"hidden": torch.randn(4, 2, 8), "cell": torch.randn(4, 2, 8)}
    for name, values in zip(path.held, states.values(), strict=True):
        path.get_buffer(f"held_{name}").data = values
    sequence = torch.randn(4, 3, 5)
    with torch.no_grad():
        torch.testing.assert_close(path(X), theirs(X, states)[0], rtol=1e-5, atol=1e-6)
        wanted = theirs(sequence, states)[0]
        torch.testing.assert_close(path(sequence), wanted, rtol=1e-5, atol=1e-6)
