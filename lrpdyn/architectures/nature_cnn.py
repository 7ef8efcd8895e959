"""NatureCNN, the convolutional network of Mnih et al. 2015, and what its weights tell of it."""

from __future__ import annotations

from torch import nn

from lrpdyn.checkpoints.model import Shapes


def convolutions(channels: int) -> list[nn.Module]:
    """Return the convolutional layers, for observations of `channels` stacked frames."""
    return [
        nn.Conv2d(channels, 32, 8, stride=4),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, stride=2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, stride=1),
        nn.ReLU(),
        nn.Flatten(),
    ]


def channels_of(shapes: Shapes, first: str) -> int | None:
    """Return the input channels of a NatureCNN whose first layer is `first`, else None."""
    shape = shapes.get(f"{first}.weight", ())
    return shape[1] if len(shape) == 4 and (shape[0], *shape[2:]) == (32, 8, 8) else None
