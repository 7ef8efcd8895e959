"""The small CIFAR network: recognised by its shapes, whatever its layers are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lrpdyn.architectures.registry import resolve
from lrpdyn.checkpoints.model import Header
from lrpdyn.errors import ArchitectureError


@pytest.mark.parametrize(
    "names",
    [("conv1", "conv2", "fc1", "fc2"), ("features.0", "features.3", "head.a", "head.b"), "0257"],
)
@pytest.mark.parametrize("classes", [10, 512])
def test_layers_of_any_name(
    load: Callable[..., Any], compare: Callable[..., None], names: Any, classes: int
) -> None:
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 3, stride=2),
        nn.Linear(1568, 512), nn.Linear(512, classes),
    )  # fmt: skip
    weights = {
        f"{name}.{key}": value
        for name, layer in reversed(list(zip(names, layers, strict=True)))
        for key, value in layer.state_dict().items()
    }
    resolved, network = load(weights)
    assert resolved.architecture.name == "cifar-cnn"
    assert resolved.arguments == {"names": list(names), "classes": classes}
    x = torch.randn(2, 3, 32, 32)
    hidden = F.max_pool2d(layers[1](layers[0](x).relu()).relu(), 2).flatten(1)
    compare(network, x, layers[3](layers[2](hidden).relu()).detach())


def test_another_width_is_another_network() -> None:
    shapes = {
        "a.weight": (16, 3, 3, 3), "a.bias": (16,), "b.weight": (32, 16, 3, 3), "b.bias": (32,),
        "c.weight": (256, 1568), "c.bias": (256,), "d.weight": (10, 256), "d.bias": (10,),
    }  # fmt: skip
    with pytest.raises(ArchitectureError, match="no registered architecture"):
        resolve(None, {}, Header(shapes), "here")
