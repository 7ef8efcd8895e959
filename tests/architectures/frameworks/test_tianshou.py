"""Tianshou's Atari networks, from their published layout, alone and within policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.architectures.registry import resolve
from lrpdyn.checkpoints.model import Header
from lrpdyn.errors import ArchitectureError
from tests.architectures.frameworks.tianshou_networks import DQNet, Weights, convolutions, under


class Noisy(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mu_W = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)
        self.sigma_W = nn.Parameter(torch.rand(outputs, inputs))
        self.mu_bias = nn.Parameter(torch.randn(outputs))
        self.sigma_bias = nn.Parameter(torch.rand(outputs))
        self.eps_p = nn.Parameter(torch.randn(inputs), requires_grad=False)
        self.eps_q = nn.Parameter(torch.randn(outputs), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.mu_W, self.mu_bias)


class RainbowNet(nn.Module):
    def __init__(self, dueling: bool, noisy: bool) -> None:
        super().__init__()
        linear = Noisy if noisy else nn.Linear
        self.net = convolutions()
        self.Q = nn.Sequential(linear(3136, 512), nn.ReLU(), linear(512, 6 * 21))
        self.dueling = dueling
        if dueling:
            self.V = nn.Sequential(linear(3136, 512), nn.ReLU(), linear(512, 21))

    def forward(self, x: Tensor) -> Tensor:
        x = self.net(x)
        q = self.Q(x).view(-1, 6, 21)
        if not self.dueling:
            return q
        return q - q.mean(dim=1, keepdim=True) + self.V(x).view(-1, 1, 21)


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(0)
    return torch.rand(2, 4, 84, 84)


def forms(net: nn.Module, other: nn.Module) -> list[Weights]:
    """Return the weights as they are saved: bare, by version 1's policy, by version 2's."""
    return [
        dict(net.state_dict()),
        under("model_old", weights=other.state_dict()) | under("model", weights=net.state_dict()),
        under("policy.model", weights=net.state_dict())
        | under("model_old.module", weights=other.state_dict()),
    ]


def test_dqn(load: Callable[..., Any], compare: Callable[..., None], x: Tensor) -> None:
    net = DQNet(6)
    for weights in forms(net, DQNet(6)):
        resolved, network = load(weights)
        assert resolved.architecture.name == "tianshou-dqn"
        compare(network, x, net(x).detach(), "q")


def test_outputs_that_may_be_a_distribution_are_asked_for() -> None:
    shapes = {key: tuple(value.shape) for key, value in DQNet(102).state_dict().items()}
    with pytest.raises(ArchitectureError, match=r"num_atoms=N .* num_quantiles=N .* actions=102"):
        resolve(None, {}, Header(shapes), "here")
    named = {
        given: resolve(None, {given: value}, Header(shapes), "here").architecture.name
        for given, value in (("actions", 102), ("num_atoms", 51), ("num_quantiles", 51))
    }
    assert named == {
        "actions": "tianshou-dqn", "num_atoms": "tianshou-c51", "num_quantiles": "tianshou-qrdqn",
    }  # fmt: skip


def test_c51(load: Callable[..., Any], compare: Callable[..., None], x: Tensor) -> None:
    net, support = DQNet(6 * 21), torch.linspace(-3, 7, 21)
    wanted = (net(x).view(-1, 6, 21).softmax(dim=-1) * support).sum(2).detach()
    bare, old, new = forms(net, DQNet(6 * 21))
    for weights in (old | {"support": support}, new | {"policy.support": support}):
        resolved, network = load(weights)
        assert resolved.architecture.name == "tianshou-c51"
        compare(network, x, wanted, "q")
    _, network = load(bare, num_atoms=21, v_min=-3.0, v_max=7.0)
    compare(network, x, wanted, "q")


def test_qrdqn(load: Callable[..., Any], compare: Callable[..., None], x: Tensor) -> None:
    net, fractions = DQNet(6 * 50), torch.rand(1, 50, 1)
    wanted = net(x).view(-1, 6, 50).mean(2).detach()
    _, old, new = forms(net, DQNet(6 * 50))
    for weights in (old, new):
        resolved, network = load(weights | {"tau_hat": fractions})
        assert resolved.architecture.name == "tianshou-qrdqn"
        compare(network, x, wanted, "q")


@pytest.mark.parametrize("dueling", [True, False])
@pytest.mark.parametrize("noisy", [True, False])
def test_rainbow(
    load: Callable[..., Any], compare: Callable[..., None], x: Tensor, dueling: bool, noisy: bool
) -> None:
    net, support = RainbowNet(dueling, noisy), torch.linspace(-3, 7, 21)
    wanted = (net(x).softmax(dim=2) * support).sum(2).detach()
    bare, old, new = forms(net, RainbowNet(dueling, noisy))
    for weights in (old | {"support": support}, new | {"policy.support": support}):
        resolved, network = load(weights)
        assert resolved.architecture.name == "tianshou-rainbow"
        compare(network, x, wanted, "q")
    atoms = {} if dueling else {"num_atoms": 21}
    _, network = load(bare, v_min=-3.0, v_max=7.0, **atoms)
    compare(network, x, wanted, "q")
