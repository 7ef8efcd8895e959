"""A small network, and its weights at several steps, for tests of readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

#: Numbers whose order as text is another one.
STEPS = (3, 20, 100)

Weights = Mapping[str, Tensor]


class Net(nn.Module):
    """A plain convolutional classifier."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(width * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.features(x))


def own(weights: Weights) -> dict[str, Tensor]:
    """Return a copy with storages of its own, as a state dict that is saved alone has them."""
    return {key: value.clone() for key, value in weights.items()}


def states(steps: tuple[int, ...] = STEPS) -> dict[int, dict[str, Tensor]]:
    """Return different weights for each of `steps`."""
    found = {}
    for step in steps:
        torch.manual_seed(step)
        found[step] = own(Net().state_dict())
    return found


def arrays(weights: Weights) -> dict[str, NDArray[Any]]:
    """Return weights as NumPy arrays."""
    return {key: value.numpy() for key, value in weights.items()}


def observations(count: int = 3) -> NDArray[np.uint8]:
    """Return observations that `Net` takes, (count, 3, 8, 8)."""
    return np.random.default_rng(0).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)


def architecture() -> str:
    """Return what ``--arch`` takes for `Net`."""
    return f"{Path(__file__)}:Net"


def under(prefix: str, weights: Weights) -> dict[str, Tensor]:
    """Return weights with a prefix before each key."""
    return {f"{prefix}{key}": value for key, value in weights.items()}
