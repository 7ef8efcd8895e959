"""NatureCNN, the convolutional network of Mnih et al. 2015, and its sizes by its weights."""

from __future__ import annotations

from torch import nn

from lrpdyn.architectures.model import Arguments
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


def features_of(
    shapes: Shapes, first: str, hidden: str, *, weight: str = "weight", filters: int = 32
) -> Arguments | None:
    """Return ``channels``, ``convolved`` and ``features`` of a NatureCNN and its Linear layer.

    Parameters
    ----------
    first, hidden
        The first convolution, of so many `filters`, and the Linear layer after all of them.
    weight
        What the Linear layer calls its weights.

    Returns
    -------
    dict or None
        None where the weights are not those of a NatureCNN.

    Examples
    --------
    >>> features_of({"0.weight": (32, 4, 8, 8), "7.weight": (512, 3136)}, "0", "7")
    {'channels': 4, 'convolved': 3136, 'features': 512}
    """
    convolution, linear = shapes.get(f"{first}.weight", ()), shapes.get(f"{hidden}.{weight}")
    if len(convolution) != 4 or linear is None:
        return None
    if (convolution[0], *convolution[2:]) != (filters, 8, 8):
        return None
    features, convolved = linear
    return {"channels": convolution[1], "convolved": convolved, "features": features}


def q_arguments(
    shapes: Shapes,
    first: str,
    hidden: str,
    output: str,
    *,
    weight: str = "weight",
    filters: int = 32,
) -> Arguments | None:
    """Return what `features_of` does and ``actions``, the outputs of the layer `output`."""
    found = features_of(shapes, first, hidden, weight=weight, filters=filters)
    last = shapes.get(f"{output}.{weight}")
    return None if found is None or last is None else {**found, "actions": last[0]}
