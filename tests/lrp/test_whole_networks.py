"""Whole networks against Zennit with its canonisers, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.layer import Sum
from zennit.torchvision import ResNetCanonizer

from lrpdyn.lrp import rules
from lrpdyn.lrp.attribution import relevance
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import make_plan
from tests.lrp import zennit_reference as reference


def settled(network: nn.Module) -> nn.Module:
    """Give BatchNorm statistics as training leaves them, in float64."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.5, 0.5), (module.running_var, 0.5, 2.0),
                (module.weight.data, 0.5, 1.5), (module.bias.data, -0.5, 0.5),
            ):  # fmt: skip
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return network.double().eval()


def nature() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(),
        nn.Conv2d(64, 64, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(),
        nn.Linear(512, 6),
    )  # fmt: skip


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for width in (8, 8, 0, 16, 16, 0):
        if width == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(True)]
        channels = width
    head = [nn.Flatten(), nn.Linear(16 * 49, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, 5)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d((7, 7)), *head)


def resnet18() -> nn.Module:
    torchvision = pytest.importorskip("torchvision")
    return torchvision.models.resnet18(num_classes=7)


class Block(nn.Module):
    """A residual block that begins with its ReLU, in the form that Zennit needs."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.relu0, self.relu1 = nn.ReLU(), nn.ReLU()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.sum = Sum()

    def forward(self, x: Tensor) -> Tensor:
        inside = self.conv1(self.relu1(self.conv0(self.relu0(x))))
        return self.sum(torch.stack([x, inside], dim=-1))


class PlainBlock(Block):
    """The same block as people write it."""

    def forward(self, x: Tensor) -> Tensor:
        inside = nn.functional.relu(x)
        inside = self.conv0(inside)
        inside = nn.functional.relu(inside)
        return self.conv1(inside) + x


def impala(block: Callable[[int], nn.Module] = Block) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for width in (8, 12):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.MaxPool2d(3, 2, padding=1),
                   block(width), block(width)]  # fmt: skip
        channels = width
    tail = [nn.ReLU(), nn.Flatten(), nn.Linear(12 * 64, 20), nn.ReLU(), nn.Linear(20, 4)]
    return nn.Sequential(*layers, *tail)


def perceptron(activation: type[nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(
        nn.Linear(9, 16), activation(), nn.Linear(16, 16), activation(), nn.Linear(16, 4)
    )


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], list[Any]]] = {
    "nature": (nature, (4, 84, 84), []),
    "vgg": (vgg, (3, 32, 32), [SequentialMergeBatchNorm()]),
    "resnet18": (resnet18, (3, 48, 48), [ResNetCanonizer()]),
    "impala": (impala, (3, 32, 32), []),
    "tanh": (perceptron(nn.Tanh), (9,), []),
    "gelu": (perceptron(nn.GELU), (9,), []),
    "leaky": (perceptron(nn.LeakyReLU), (9,), []),
}
ALL = {**reference.COMPOSITES, **reference.RULES}


@pytest.fixture(autouse=True)
def without_stabiliser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "STABILISER", reference.NOTHING)


def example(name: str) -> tuple[nn.Module, Tensor, list[Any]]:
    make, shape, canonizers = NETWORKS[name]
    torch.manual_seed(0)
    network = settled(make())
    generator = torch.Generator().manual_seed(2)
    return network, torch.randn(2, *shape, generator=generator).double().clamp(-3, 3), canonizers


@pytest.mark.parametrize("rule", ALL)
@pytest.mark.parametrize("name", NETWORKS)
def test_network_is_explained_as_by_zennit(name: str, rule: str) -> None:
    network, x, canonizers = example(name)
    unit = torch.tensor([1, 3])
    canonised = canonise(network)
    torch.testing.assert_close(canonised(x), network(x), rtol=1e-10, atol=1e-12)
    plan = make_plan(canonised, parse_composite(rule), x[:1])
    rows = torch.zeros(2, canonised(x).shape[1]).double()
    rows[[0, 1], unit] = 1
    found = relevance(canonised, plan, x, rows)
    expected = reference.by_zennit(network, ALL[rule], x, unit, canonizers)
    assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-8


@pytest.mark.parametrize("rule", ["zplus", "epsilon-plus", "gamma"])
def test_block_as_people_write_it_is_explained_as_by_zennit(rule: str) -> None:
    torch.manual_seed(0)
    network = settled(impala())
    plain = settled(impala(PlainBlock))
    plain.load_state_dict(network.state_dict())
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2)).double()
    unit = torch.tensor([0, 2])
    canonised = canonise(plain)
    rows = torch.eye(4).double()[unit]
    found = relevance(canonised, make_plan(canonised, parse_composite(rule)), x, rows)
    expected = reference.by_zennit(network, ALL[rule], x, unit)
    assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-8
