"""CleanRL's C51 and Rainbow, from their published layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def nature() -> list[nn.Module]:
    return [
        nn.Conv2d(4, 32, 8, stride=4), nn.ReLU(), nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(),
        nn.Conv2d(64, 64, 3, stride=1), nn.ReLU(), nn.Flatten(),
    ]  # fmt: skip


class C51(nn.Module):
    """cleanrl/c51_atari.py: QNetwork, with the Q values of its get_action."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("atoms", torch.linspace(-2, 9, 21))
        self.network = nn.Sequential(
            *nature(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 6 * 21)
        )

    def forward(self, x: Tensor) -> Tensor:
        masses = torch.softmax(self.network(x / 255.0).view(len(x), 6, 21), dim=2)
        return (masses * self.atoms).sum(2)


class NoisyLinear(nn.Module):
    """cleanrl/rainbow_atari.py: NoisyLinear."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        for name, shape in (("weight", (outputs, inputs)), ("bias", (outputs,))):
            self.register_parameter(
                f"{name}_mu", nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
            )
            self.register_parameter(f"{name}_sigma", nn.Parameter(torch.rand(shape)))
            self.register_buffer(f"{name}_epsilon", torch.randn(shape))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            weight = self.weight_mu + self.weight_sigma * self.weight_epsilon
            return F.linear(x, weight, self.bias_mu + self.bias_sigma * self.bias_epsilon)
        return F.linear(x, self.weight_mu, self.bias_mu)


class Rainbow(nn.Module):
    """cleanrl/rainbow_atari.py: NoisyDuelingDistributionalNetwork, with its Q values."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("support", torch.linspace(-10, 10, 51))
        self.network = nn.Sequential(*nature())
        self.value_head = nn.Sequential(NoisyLinear(3136, 512), nn.ReLU(), NoisyLinear(512, 51))
        self.advantage_head = nn.Sequential(
            NoisyLinear(3136, 512), nn.ReLU(), NoisyLinear(512, 51 * 6)
        )

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.network(x / 255.0)
        value = self.value_head(hidden).view(-1, 1, 51)
        advantage = self.advantage_head(hidden).view(-1, 6, 51)
        atoms = value + advantage - advantage.mean(dim=1, keepdim=True)
        return (F.softmax(atoms, dim=2) * self.support).sum(dim=2)


@pytest.mark.parametrize(
    ("kind", "name"), [(C51, "cleanrl-c51-atari"), (Rainbow, "cleanrl-rainbow-atari")]
)
def test_distributional(
    load: Callable[..., Any], compare: Callable[..., None], kind: type[nn.Module], name: str
) -> None:
    torch.manual_seed(0)
    theirs = kind().eval()
    resolved, network = load(theirs.state_dict())
    assert resolved.architecture.name == name
    assert resolved.architecture.preprocessing.divisor == 1
    x = torch.randint(0, 256, (3, 4, 84, 84)).float()
    compare(network, x, theirs(x).detach(), "q")
    # Each checkpoint is loaded in place, its support too.
    path, before = network.path("q"), theirs(x)
    support = "atoms" if kind is C51 else "support"
    network.load_state_dict({**theirs.state_dict(), support: 2 * theirs.get_buffer(support)})
    torch.testing.assert_close(path(x), 2 * before)
