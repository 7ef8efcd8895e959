"""Networks as users write them: the same outputs, one module a call, or a refusal by name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.attribution import layers_of, relevance
from lrpdyn.lrp.canonise import canonise
from lrpdyn.lrp.rules import parse_rule


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
    inside = relevance(canonised, parse_rule(rule), pixels, rows)
    outside = relevance(canonise(Modular(network).double()), parse_rule(rule), scaled, rows)
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
    found = relevance(canonise(layer), parse_rule("epsilon"), torch.ones(1, 2), torch.ones(1, 1))
    assert found[0].tolist() == pytest.approx([2.0, 3.0], rel=1e-5)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Silent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + x


class Softmaxed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(self.layer(x), dim=1)


class Doubled(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Paired(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x), x


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (Branching(), "cannot be traced"),
        (Silent(), "NotImplementedError"),
        (Residual(), "joins two branches"),
        (Softmaxed(), "softmax"),
        (Doubled(), "takes 2 inputs"),
        (Paired(), "must return one tensor"),
        (nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), "BatchNorm1d"),
        (nn.LSTM(3, 3), "LSTM"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(network: nn.Module, says: str) -> None:
    with pytest.raises(ArchitectureError, match=says):
        canonise(network)
