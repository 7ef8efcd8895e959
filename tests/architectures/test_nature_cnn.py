"""NatureCNN: its layers, and its sizes by the shapes of its weights."""

from __future__ import annotations

import torch
from torch import nn

from lrpdyn.architectures.nature_cnn import convolutions, features_of, q_arguments
from lrpdyn.checkpoints.model import Shapes


def shapes(channels: int) -> Shapes:
    layers = [*convolutions(channels), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 6)]
    state = nn.Sequential(*layers).state_dict()
    return {key: tuple(value.shape) for key, value in state.items()}


def test_frames_of_84_pixels_become_3136_entries() -> None:
    assert nn.Sequential(*convolutions(3))(torch.zeros(2, 3, 84, 84)).shape == (2, 3136)


def test_sizes_are_read_from_the_shapes() -> None:
    found = features_of(shapes(3), "0", "7")
    assert found == {"channels": 3, "convolved": 3136, "features": 512}
    assert q_arguments(shapes(3), "0", "7", "9") == {**found, "actions": 6}


def test_other_networks_have_none() -> None:
    assert features_of(shapes(3), "2", "7") is None  # not the first convolution
    assert features_of(shapes(3), "0", "8") is None
    assert features_of(shapes(3), "0", "7", filters=16) is None
    assert q_arguments(shapes(3), "0", "7", "10") is None
    assert features_of({"0.weight": (32, 3136), "7.weight": (8, 4)}, "0", "7") is None
