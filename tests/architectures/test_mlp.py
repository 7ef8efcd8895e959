"""Plain multilayer perceptrons: their activation is asked for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

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
