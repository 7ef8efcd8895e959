"""Small networks that the tests of this room explain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lrpdyn.architectures.model import Architecture, never
from lrpdyn.architectures.registry import Resolved
from lrpdyn.checkpoints.model import Checkpoint, Header
from lrpdyn.explain.loaded import LoadedNetwork, put_weights
from lrpdyn.explain.model import Model, make_model, with_plan
from lrpdyn.lrp.composites import parse_composite


class TwoHeads(nn.Module):
    """Shared features, and a head that is explained beside one that is not."""

    heads = ("policy", "value")

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(4 * 4 * 4, 6), nn.Tanh())
        self.policy, self.value = nn.Linear(6, 3), nn.Linear(6, 1)

    def path(self, head: str) -> nn.Module:
        return nn.Sequential(self.body, self.hidden, getattr(self, head))


class Small(nn.Module):
    """Weights by hand: four inputs, a ReLU, one output."""

    heads = ("value",)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 2), nn.Linear(2, 1)

    def path(self, head: str) -> nn.Module:
        return nn.Sequential(self.first, nn.ReLU(), self.last)


def model_of(factory: Any, observations: np.ndarray, rule: str = "zplus", batch: int = 64) -> Model:
    resolved = Resolved(Architecture("own", factory, never), {})
    model = make_model(resolved, None, "cpu", batch, parse_composite(rule))
    return with_plan(model, observations, None)


def loaded_of(
    factory: Any, observations: np.ndarray, rule: str = "zplus", batch: int = 64
) -> LoadedNetwork:
    """Return a network with the weights that it was built with."""
    return put_weights(model_of(factory, observations, rule, batch), {}, "as built")


def checkpoint(folder: Path, step: int, network: nn.Module) -> Checkpoint:
    path = folder / f"net_{step}.pt"
    torch.save(network.state_dict(), path)
    return Checkpoint(step=step, path=path, format="torch", step_source="name", header=Header({}))


def small(
    last: list[float], bias: float = 0.0, rule: str = "zplus"
) -> tuple[LoadedNetwork, np.ndarray]:
    """Return it with these weights in its last layer, and two observations."""
    observations = np.array([[1, 1, 0, 0], [2, 0, 1, 1]], dtype=np.float32)
    loaded = loaded_of(Small, observations, rule)
    network = loaded.model.network
    with torch.no_grad():
        network.first.weight.copy_(torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]]))
        network.first.bias.zero_()
        network.last.weight.copy_(torch.tensor([last]))
        network.last.bias.fill_(bias)
    return loaded, observations
