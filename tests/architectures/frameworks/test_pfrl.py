"""PFRL's Atari networks, from their published layout; noisy ones by their mean weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def convolutions(small: bool = False) -> nn.ModuleList:
    if small:
        return nn.ModuleList([nn.Conv2d(4, 16, 8, stride=4), nn.Conv2d(16, 32, 4, stride=2)])
    return nn.ModuleList(
        [nn.Conv2d(4, 32, 8, stride=4), nn.Conv2d(32, 64, 4, stride=2), nn.Conv2d(64, 64, 3)]
    )


def convolved(layers: nn.ModuleList, x: Tensor) -> Tensor:
    for layer in layers:
        x = F.relu(layer(x))
    return x.reshape(len(x), -1)


class Noisy(nn.Module):
    """FactorizedNoisyLinear, without its noise."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mu, self.sigma = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.mu(x)


class AtariCNN(nn.Module):
    def __init__(self, linear: Any, small: bool) -> None:
        super().__init__()
        self.layers = convolutions(small)
        self.output = linear(2592, 256) if small else linear(3136, 512)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.output(convolved(self.layers, x)))


class MLP(nn.Module):
    def __init__(self, linear: Any, outputs: int) -> None:
        super().__init__()
        self.hidden_layers = nn.ModuleList([linear(3136, 512)])
        self.output = linear(512, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(F.relu(self.hidden_layers[0](x)))


class Dueling(nn.Module):
    def __init__(self, linear: Any) -> None:
        super().__init__()
        self.conv_layers = convolutions()
        self.a_stream, self.v_stream = MLP(linear, 6), MLP(linear, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = convolved(self.conv_layers, x)
        advantage = self.a_stream(hidden)
        return advantage - advantage.sum(dim=1, keepdim=True) / 6 + self.v_stream(hidden)


class Distributional(nn.Module):
    def __init__(self, linear: Any) -> None:
        super().__init__()
        self.conv_layers = convolutions()
        self.main_stream = linear(3136, 1024)
        self.a_stream, self.v_stream = linear(512, 6 * 51), linear(512, 51)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.main_stream(convolved(self.conv_layers, x)))
        for_advantage, for_value = torch.chunk(hidden, 2, dim=1)
        advantage = self.a_stream(for_advantage).reshape(len(x), 6, 51)
        advantage = advantage - advantage.sum(dim=1, keepdim=True) / 6
        value = self.v_stream(for_value).reshape(len(x), 1, 51)
        masses = F.softmax(advantage + value, dim=2)
        return (masses * torch.linspace(-10, 10, 51)).sum(dim=2)


def dqn(linear: Any, small: bool = False) -> nn.Module:
    return nn.Sequential(AtariCNN(linear, small), linear(256 if small else 512, 6))


@pytest.mark.parametrize("linear", [nn.Linear, Noisy])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (dqn, "pfrl-dqn-atari"),
        (lambda linear: dqn(linear, small=True), "pfrl-dqn-atari"),
        (Dueling, "pfrl-dueling-dqn-atari"),
        (Distributional, "pfrl-rainbow-atari"),
    ],
)
def test_q_networks(
    load: Callable[..., Any],
    compare: Callable[..., None],
    make: Callable[[Any], nn.Module],
    name: str,
    linear: Any,
) -> None:
    torch.manual_seed(0)
    theirs = make(linear)
    resolved, network = load(theirs.state_dict())
    assert resolved.architecture.name == name
    assert resolved.architecture.preprocessing.divisor == 255
    x = torch.rand(2, 4, 84, 84)
    compare(network, x, theirs(x).detach(), "q")


def test_another_support(load: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    theirs, x = Distributional(nn.Linear), torch.rand(2, 4, 84, 84)
    resolved, network = load(theirs.state_dict(), v_min=-5.0, v_max=15.0)
    # As wide as the default, and 5 further up: so are the Q values.
    assert (resolved.arguments["v_min"], resolved.arguments["v_max"]) == (-5, 15)
    torch.testing.assert_close(network.path("q")(x), theirs(x) + 5)


def test_actor_critic(load: Callable[..., Any], compare: Callable[..., None]) -> None:
    torch.manual_seed(0)
    branched = nn.Module()
    branched.child_modules = nn.ModuleList([nn.Sequential(nn.Linear(512, 6)), nn.Linear(512, 1)])
    conv = convolutions()
    body = nn.Sequential(
        conv[0], nn.ReLU(), conv[1], nn.ReLU(), conv[2], nn.ReLU(), nn.Flatten(),
        nn.Linear(3136, 512), nn.ReLU(),
    )  # fmt: skip
    resolved, network = load(nn.Sequential(*body, branched).state_dict())
    assert resolved.architecture.name == "pfrl-ppo-atari"
    x = torch.rand(2, 4, 84, 84)
    for head, branch in zip(("policy", "value"), branched.child_modules, strict=True):
        compare(network, x, branch(body(x)).detach(), head)
