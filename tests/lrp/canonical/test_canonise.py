"""Networks as users write them: the same outputs, one module a call, or a refusal by name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.lrp.attribution import relevance
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import layers_of, make_plan


class Functional(nn.Module):
    """Scaling, permutation, functional activations and pooling, a layer called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.1))
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout()
        self.head = nn.Linear(6 * 4 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.float() / 255 - self.mean
        x = self.act(self.conv2(self.act(self.conv1(x))))
        x = F.leaky_relu(self.conv2(x), 0.1)
        x = F.max_pool2d(x, 2)
        x = self.drop(F.avg_pool2d(x, 1))
        return self.head(x.view(x.size(0), -1))


class Modular(nn.Module):
    """The same network with its preprocessing done outside, layer by layer."""

    def __init__(self, of: Functional) -> None:
        super().__init__()
        again = nn.Conv2d(6, 6, 3, padding=1)
        again.load_state_dict(of.conv2.state_dict())
        self.layers = nn.Sequential(
            of.conv1, nn.ReLU(), of.conv2, nn.ReLU(), again, nn.LeakyReLU(0.1), nn.MaxPool2d(2),
            nn.AvgPool2d(1), nn.Flatten(), of.head,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@pytest.mark.parametrize("rule", ["zplus", "epsilon", "gamma"])
def test_functional_network_is_explained_like_its_modules(rule: str) -> None:
    torch.manual_seed(0)
    network = Functional().double().eval()
    pixels = torch.randint(0, 256, (2, 3, 8, 8)).double()
    canonised = canonise(network)
    scaled = pixels / 255 - 0.1
    torch.testing.assert_close(
        canonised(pixels), Modular(network).double()(scaled), rtol=1e-6, atol=1e-7
    )
    rows = torch.eye(5, dtype=torch.float64)[[1, 4]]
    composite = parse_composite(rule)
    inside = relevance(canonised, make_plan(canonised, composite), pixels, rows)
    modular = canonise(Modular(network).double())
    outside = relevance(modular, make_plan(modular, composite), scaled, rows)
    torch.testing.assert_close(inside, outside, rtol=1e-5, atol=1e-7)
    assert len({id(layer) for layer in layers_of(canonised).values()}) == len(layers_of(canonised))


def test_loaded_weights_reach_the_canonised_network() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    canonised = canonise(network)
    network.load_state_dict({k: torch.full_like(v, 0.5) for k, v in network.state_dict().items()})
    x = torch.ones(1, 3)
    assert canonised(x).tolist() == network(x).tolist() == [[2.5, 2.5]]


def test_network_that_is_one_linear_layer() -> None:
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[2.0, 3.0]])
    canonised = canonise(layer)
    plan = make_plan(canonised, parse_composite("epsilon"))
    found = relevance(canonised, plan, torch.ones(1, 2), torch.ones(1, 1))
    assert found[0].tolist() == pytest.approx([2.0, 3.0], rel=1e-5)


class Held(nn.Module):
    """The image is explained, a vector is held fixed."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn, self.head = nn.Linear(6, 4), nn.Linear(7, 2)
        self.register_buffer("held", torch.zeros(1, 3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        held = self.held.expand(x.shape[0], -1)
        return self.head(torch.cat([torch.relu(self.cnn(x)), held], dim=1))


def test_branch_that_is_held_fixed_keeps_its_share() -> None:
    torch.manual_seed(0)
    network = Held()
    canonised = canonise(network)
    network.held.data = torch.tensor([[1.0, -2.0, 0.5]])
    x = torch.randn(3, 6)
    torch.testing.assert_close(canonised(x), network(x))
    network.held.data = torch.randn(3, 3)
    torch.testing.assert_close(canonised(x), network(x))
    plan = make_plan(canonised, parse_composite("epsilon"))
    assert relevance(canonised, plan, x, torch.eye(2)[[0, 1, 1]]).shape == x.shape
