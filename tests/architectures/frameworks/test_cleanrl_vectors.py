"""CleanRL's networks for flat observations, from their published layout."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.architectures.registry import path_of, resolve
from lrpdyn.checkpoints.readers import read_header, read_weights
from lrpdyn.errors import ArchitectureError
from lrpdyn.explain.units import Units, units_of
from tests.architectures.conftest import Compare, Load, header

X = torch.randn(4, 11, generator=torch.Generator().manual_seed(0))


def chain(*sizes: int, end: int, between: Callable[[], nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), between()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], end))


class Agent(nn.Module):
    """ppo.py, ppo_continuous_action.py and rpo_continuous_action.py."""

    def __init__(self, continuous: bool, hidden: int = 64) -> None:
        super().__init__()
        self.critic = chain(11, hidden, hidden, end=1, between=nn.Tanh)
        policy = chain(11, hidden, hidden, end=3, between=nn.Tanh)
        self.add_module("actor_mean" if continuous else "actor", policy)
        if continuous:
            self.actor_logstd = nn.Parameter(torch.randn(1, 3))


class Actor(nn.Module):
    """td3_continuous_action.py and ddpg_continuous_action.py; sac_continuous_action.py."""

    def __init__(self, mean: str) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(11, 256), nn.Linear(256, 256)
        self.add_module(mean, nn.Linear(256, 3))
        if mean == "fc_mean":
            self.fc_logstd = nn.Linear(256, 3)
        self.register_buffer("action_scale", torch.tensor([1.0, 2, 3]))
        self.register_buffer("action_bias", torch.tensor([0.0, 1, -1]))
        self.mean = mean

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.fc2(F.relu(self.fc1(x))))
        mean = torch.tanh(self.get_submodule(self.mean)(x))
        return mean * self.action_scale + self.action_bias


class QNetwork(nn.Module):
    """dqn.py, c51.py, and pqn.py with its LayerNorms."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        layers = list(chain(11, 120, 84, end=12 if kind == "c51" else 3, between=nn.ReLU))
        if kind == "pqn":
            layers.insert(3, nn.LayerNorm(84))
            layers.insert(1, nn.LayerNorm(120))
        if kind == "c51":
            self.register_buffer("atoms", torch.linspace(-2, 9, 4))
        self.network = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.network(x)
        if hasattr(self, "atoms"):
            found = (torch.softmax(found.view(len(x), 3, 4), dim=2) * self.atoms).sum(2)
        return found


@pytest.mark.parametrize(("continuous", "hidden"), [(False, 64), (True, 64), (True, 256)])
def test_actor_critics(load: Load, compare: Compare, continuous: bool, hidden: int) -> None:
    agent = Agent(continuous, hidden)
    resolved, network = load(agent.state_dict())
    assert resolved.architecture.name == ("cleanrl-ppo-continuous" if continuous else "cleanrl-ppo")
    assert "tanh (weights do not tell)" in resolved.assumed[0]
    policy = agent.get_submodule("actor_mean" if continuous else "actor")
    compare(network, X, policy(X).detach())
    compare(network, X, agent.critic(X).detach(), "value")
    kind = "gaussian" if continuous else "categorical"
    assert units_of(network, "policy", 3, {}, None) == Units(kind=kind)


def test_what_only_resembles_ppo_is_asked_for() -> None:
    weights = Agent(False, hidden=32).state_dict()
    with pytest.raises(ArchitectureError, match="activation"):
        resolve(None, {}, header(weights), "here")
    named = resolve(None, {"activation": "relu"}, header(Agent(False).state_dict()), "here")
    assert named.architecture.name == "mlp"


@pytest.mark.parametrize(("mean", "name"), [("fc_mu", "cleanrl-td3"), ("fc_mean", "cleanrl-sac")])
def test_actors_without_their_critics(tmp_path: Path, mean: str, name: str, load: Load) -> None:
    actor = Actor(mean)
    critic = {"fc1.weight": torch.zeros(256, 14)}
    torch.save((actor.state_dict(), critic, critic), tmp_path / "m.cleanrl_model")
    found = read_header(tmp_path / "m.cleanrl_model", "torch")
    assert resolve(None, {}, found, "here").architecture.name == name
    _, network = load(read_weights(tmp_path / "m.cleanrl_model", "torch")[0])
    head, path = path_of(network, None)
    assert units_of(network, head, 3, {}, None) == Units(kind="gaussian")
    squashed = torch.tanh(path(X)) * actor.action_scale + actor.action_bias
    torch.testing.assert_close(squashed, actor(X))


@pytest.mark.parametrize("kind", ["dqn", "c51", "pqn"])
def test_q_networks(load: Load, compare: Compare, kind: str) -> None:
    network = QNetwork(kind)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor += 0.1 * torch.rand_like(tensor)
    resolved, found = load(network.state_dict())
    assert (resolved.architecture.name, found.heads) == (f"cleanrl-{kind}", ("q",))
    compare(found, X, network(X).detach())


def test_another_perceptron_called_network_is_asked_for() -> None:
    other: dict[str, Any] = {
        f"network.{key}": value
        for key, value in chain(11, 64, 84, end=3, between=nn.ReLU).state_dict().items()
    }
    with pytest.raises(ArchitectureError, match="activation"):
        resolve(None, {}, header(other), "here")
