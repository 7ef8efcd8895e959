"""CleanRL's distributional networks: C51 and Rainbow, explained as the mean over their atoms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.architectures.frameworks.cleanrl import DivideBy255, as_in
from lrpdyn.architectures.model import INSIDE, Architecture, Arguments
from lrpdyn.architectures.nature_cnn import convolutions, q_arguments
from lrpdyn.architectures.noisy import NoisyLinear
from lrpdyn.architectures.outputs import AtomMean, Dueling
from lrpdyn.checkpoints.model import Shapes


class C51(nn.Module):
    """``c51_atari.QNetwork``: ``network``, and its support in the buffer ``atoms``."""

    heads = ("q",)
    atoms: Tensor

    def __init__(
        self, channels: int, convolved: int, features: int, actions: int, n_atoms: int
    ) -> None:
        super().__init__()
        linear = (
            nn.Linear(convolved, features), nn.ReLU(), nn.Linear(features, actions * n_atoms),
        )  # fmt: skip
        self.register_buffer("atoms", torch.linspace(-10, 10, n_atoms))
        self.network = nn.Sequential(*convolutions(channels), *linear)
        self._actions = actions

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        return nn.Sequential(DivideBy255(), self.network, AtomMean(self._actions, self.atoms))


class Rainbow(nn.Module):
    """``rainbow_atari.NoisyDuelingDistributionalNetwork``, by its mean weights."""

    heads = ("q",)
    support: Tensor

    def __init__(
        self, channels: int, convolved: int, features: int, actions: int, n_atoms: int
    ) -> None:
        super().__init__()
        self.register_buffer("support", torch.linspace(-10, 10, n_atoms))
        self.network = nn.Sequential(*convolutions(channels))
        self.value_head = _noisy(convolved, features, n_atoms)
        self.advantage_head = _noisy(convolved, features, actions * n_atoms)
        self._actions = actions

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        streams = Dueling(self.value_head, self.advantage_head, self._actions, len(self.support))
        mean = AtomMean(self._actions, self.support)
        return nn.Sequential(DivideBy255(), self.network, streams, mean)


def _noisy(inputs: int, features: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(NoisyLinear(inputs, features), nn.ReLU(), NoisyLinear(features, outputs))


def _per_action(found: Arguments | None, atoms: tuple[int, ...] | None) -> Arguments | None:
    """Return the arguments for outputs that are `atoms` of each action."""
    if found is None or atoms is None:
        return None
    return {**found, "actions": found["actions"] // atoms[0], "n_atoms": atoms[0]}


def _recognise_c51(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    found = q_arguments(shapes, "network.0", "network.7", "network.9")
    return _per_action(found, shapes.get("atoms"))


def _recognise_rainbow(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    layers = ("network.0", "advantage_head.0", "advantage_head.2")
    return _per_action(q_arguments(shapes, *layers, weight="weight_mu"), shapes.get("support"))


ARCHITECTURES = (
    Architecture(
        name="cleanrl-c51-atari",
        factory=C51,
        recognise=_recognise_c51,
        preprocessing=INSIDE,
        source="cleanrl/c51_atari.py",
        assumes=as_in("c51_atari.py"),
    ),
    Architecture(
        name="cleanrl-rainbow-atari",
        factory=Rainbow,
        recognise=_recognise_rainbow,
        preprocessing=INSIDE,
        source="cleanrl/rainbow_atari.py",
        assumes=as_in("rainbow_atari.py"),
    ),
)
