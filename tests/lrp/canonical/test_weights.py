"""Weights that are derived, merged or computed, and follow what is loaded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.lrp.attribution import relevance
from lrpdyn.lrp.canonical.canonise import canonise, canonise_fully
from lrpdyn.lrp.canonical.layers import Scaling, Weighted
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import layers_of, make_plan


class BatchNormed(nn.Module):
    """BatchNorm behind each kind of linear layer, one of them without affine parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.up, self.norm_up = nn.ConvTranspose2d(4, 6, 2, groups=2), nn.BatchNorm2d(6)
        self.linear, self.norm_linear = nn.Linear(150, 8), nn.BatchNorm1d(8, affine=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)))
        x = F.relu(self.norm_up(self.up(x)))
        return self.head(F.relu(self.norm_linear(self.linear(x.flatten(1)))))


def disturbed(network: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for tensor in [*network.parameters(), *network.buffers()]:
        if tensor.is_floating_point():
            tensor.data.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.1)
    return network


def test_batch_norm_is_merged_and_follows_what_is_loaded() -> None:
    network = disturbed(BatchNormed().double(), 0).eval()
    canonised = canonise(network)
    assert not [n for n, layer in layers_of(canonised).items() if isinstance(layer, Scaling)]
    x = torch.randn(2, 2, 6, 6).double()
    for seed in (0, 1):
        other = disturbed(BatchNormed().double(), seed)
        network.load_state_dict(other.state_dict())
        torch.testing.assert_close(canonised(x), network(x), rtol=1e-10, atol=1e-12)


def test_batch_norm_is_merged_into_a_copy_of_a_layer_that_others_use() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.head = (
                nn.Conv2d(2, 4, 1),
                nn.BatchNorm2d(4),
                nn.Linear(36, 2),
            )

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return self.head((self.norm(x) + x).flatten(1))

    network = disturbed(Shared(), 0).eval()
    canonised = canonise(network)
    x = torch.randn(2, 2, 3, 3)
    torch.testing.assert_close(canonised(x), network(x))
    convolutions = [layer for layer in layers_of(canonised).values() if isinstance(layer, Weighted)]
    assert len(convolutions) == 3
    with torch.no_grad():
        network.norm.weight.mul_(2)
    torch.testing.assert_close(canonised(x), network(x))


def parametrised(wrap: Callable[[nn.Module], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(wrap(nn.Linear(4, 5)), nn.ReLU(), wrap(nn.Linear(5, 2))).double().eval()


@pytest.mark.parametrize(
    "wrap",
    [
        torch.nn.utils.parametrizations.weight_norm,
        torch.nn.utils.parametrizations.spectral_norm,
        torch.nn.utils.spectral_norm,
        pytest.param(
            torch.nn.utils.weight_norm,
            marks=pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning"),
        ),
    ],
)
def test_parametrisations_are_resolved(wrap: Callable[[nn.Module], nn.Module]) -> None:
    network = parametrised(wrap)
    canonised = canonise(network)
    x = torch.randn(3, 4).double()
    torch.testing.assert_close(canonised(x), network(x))
    for parameter in network.parameters():
        with torch.no_grad():
            parameter.mul_(1.3)
    torch.testing.assert_close(canonised(x), network(x))
    plain = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    for place in (0, 2):
        plain[place].weight.data = network[place].weight.detach()
        plain[place].bias.data = network[place].bias.detach()
    rows = torch.eye(2).double()[[0, 1, 1]]
    found, expected = (
        relevance(c, make_plan(c, parse_composite("zplus")), x, rows)
        for c in (canonised, canonise(plain))
    )
    torch.testing.assert_close(found, expected)


class NoisyLinear(nn.Module):
    """Fortunato et al. 2018; this one draws noise at evaluation too."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight_mu = nn.Parameter(torch.randn(outputs, inputs))
        self.bias_mu = nn.Parameter(torch.randn(outputs))
        self.weight_sigma = nn.Parameter(torch.ones(outputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn_like(self.weight_sigma)
        return F.linear(x, self.weight_mu + self.weight_sigma * noise, self.bias_mu)


def test_noisy_layers_are_explained_by_their_mean_weights() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(NoisyLinear(4, 5), nn.ReLU(), NoisyLinear(5, 2))
    x = torch.randn(3, 4)
    found = canonise_fully(network)
    assert "0, 2: noisy layers by their mean weights" in found.notes
    torch.testing.assert_close(found.explained(x), network(x))
    hidden = torch.relu(F.linear(x, network[0].weight_mu, network[0].bias_mu))
    torch.testing.assert_close(
        network(x), F.linear(hidden, network[2].weight_mu, network[2].bias_mu)
    )


class Computed(nn.Module):
    """Linear layers as functions, with weights that are computed from parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Parameter(torch.randn(3, 2, 3, 3))
        self.matrix = nn.Parameter(torch.randn(48, 5))
        self.mask = nn.Parameter(torch.rand(2, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(x, self.filters * 2, padding=0, stride=1))
        x = F.relu(x.flatten(1) @ self.matrix)
        return F.linear(x, torch.tanh(self.mask).abs(), bias=None)


def test_functional_layers_with_computed_weights() -> None:
    torch.manual_seed(0)
    network = Computed()
    canonised = canonise(network)
    x = torch.randn(2, 2, 6, 6)
    for _ in range(2):
        torch.testing.assert_close(canonised(x), network(x), rtol=1e-5, atol=1e-5)
        with torch.no_grad():
            network.mask.mul_(0.5)
    plan = make_plan(canonised, parse_composite("zplus"))
    assert [rule.text for rule in plan.values()].count("zplus") == 3


class Cosines(nn.Module):
    """Ten times the cosines of what is hidden with the directions of classes."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(4, 6)
        self.classes = nn.Parameter(torch.randn(3, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = F.normalize(torch.tanh(self.hidden(x)))
        return 10 * F.linear(x, F.normalize(self.classes))


def test_weights_that_are_normalised_are_not_taken_for_drawn_ones() -> None:
    torch.manual_seed(0)
    network = Cosines()
    canonised = canonise(network)
    x = torch.randn(2, 4)
    for _ in range(2):
        torch.testing.assert_close(canonised(x), network(x))
        with torch.no_grad():
            network.classes.add_(0.5)
