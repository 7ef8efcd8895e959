"""Plain multilayer perceptrons: their activation is asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from lrpdyn.architectures.mlp import activation
from lrpdyn.architectures.registry import load_weights, path_of, resolve
from lrpdyn.checkpoints.model import Header
from lrpdyn.errors import ArchitectureError


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def test_plain_mlp_asks_for_its_activation() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    with pytest.raises(ArchitectureError, match="--arch-arg activation=tanh"):
        resolve(None, {}, Header(shapes(network)), "here")
    resolved = resolve(None, {"activation": "Tanh"}, Header(shapes(network)), "here")
    built = resolved.build()
    load_weights(built, network.state_dict(), resolved, "here")
    x = torch.randn(3, 4)
    torch.testing.assert_close(path_of(built, None)[1](x), network(x))


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("leakyrelu", nn.LeakyReLU()), ("LeakyReLU(0.3)", nn.LeakyReLU(0.3)),
        ("elu(alpha=0.5)", nn.ELU(0.5)), ("GELU(approximate='tanh')", nn.GELU("tanh")),
        ("Threshold(-0.1, -2)", nn.Threshold(-0.1, -2)), ("ReLU(True)", nn.ReLU()),
    ],
)  # fmt: skip
def test_an_activation_with_its_arguments(text: str, function: nn.Module) -> None:
    x = torch.linspace(-3, 3, 50)
    assert torch.equal(activation(text)(x.clone()), function(x))


@pytest.mark.parametrize(
    "text",
    ["<function <lambda>>", "<class 'my.ReLU'>", "Threshold", "GLU", "Softmax(1)", "LeakyReLU('a')",
     "ELU([1])", "ReLU(print(1))", "print('x')", "(" * 10_000, "", True],
)  # fmt: skip
def test_what_is_no_activation_is_refused(text: Any) -> None:
    with pytest.raises(ArchitectureError, match=r"--arch FILE\.py:CALLABLE.*activation=NAME"):
        activation(text)


def test_a_chain_without_an_activation_is_not_asked_about() -> None:
    network = nn.Sequential(nn.Linear(4, 2))
    resolved = resolve(None, {}, Header(shapes(network)), "here")
    assert resolved.assumed == (
        "nothing but the activation lies between the linear layers, and nothing follows the last",
    )


def test_the_weight_of_a_prelu_is_among_the_weights() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.PReLU(init=0.7), nn.Linear(8, 2))
    resolved = resolve(None, {"activation": "prelu"}, Header(shapes(network)), "here")
    built = resolved.build()
    load_weights(built, network.state_dict(), resolved, "here")
    x = torch.randn(3, 4)
    torch.testing.assert_close(path_of(built, None)[1](x), network(x))
    with pytest.raises(ArchitectureError, match=r"1\.weight expected nothing, found \(1,\)"):
        resolve(None, {"activation": "relu"}, Header(shapes(network)), "here")


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)),
        nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.0), nn.Linear(8, 2)),
    ],
)
def test_layers_without_weights_may_stand_between(network: nn.Module) -> None:
    resolved = resolve(None, {"activation": "relu"}, Header(shapes(network)), "here")
    built = resolved.build()
    load_weights(built, network.state_dict(), resolved, "here")
    x = torch.randn(3, 4)
    torch.testing.assert_close(path_of(built, None)[1](x), network(x))


def test_linear_layers_without_an_activation_between_are_not_taken_for_a_perceptron() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    with pytest.raises(ArchitectureError):
        resolve(None, {"activation": "relu"}, Header(shapes(network)), "here")
