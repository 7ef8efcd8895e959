"""CleanRL's Atari networks: NatureCNN with the division by 255 inside ``forward``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from lrpdyn.architectures.model import INSIDE, Architecture, Arguments, always
from lrpdyn.architectures.nature_cnn import convolutions, q_arguments
from lrpdyn.architectures.orthogonal import orthogonal
from lrpdyn.checkpoints.model import Shapes


class DivideBy255(nn.Module):
    """The first thing that CleanRL's ``forward`` does."""

    def forward(self, x: Tensor) -> Tensor:
        """Bring pixels of 0..255 to 0..1."""
        return x / 255.0


class ActorCritic(nn.Module):
    """``ppo_atari.Agent``: ``network``, ``actor``, ``critic``."""

    heads = ("policy", "value")

    def __init__(self, channels: int, convolved: int, features: int, actions: int) -> None:
        super().__init__()
        linear = (nn.Linear(convolved, features), nn.ReLU())
        self.network = nn.Sequential(*convolutions(channels), *linear)
        self.actor = nn.Linear(features, actions)
        self.critic = nn.Linear(features, 1)

    def initialise(self) -> None:
        """Begin as CleanRL does (``layer_init``)."""
        orthogonal(self, {"actor": 0.01, "critic": 1.0})

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the outputs of `head`."""
        last = self.actor if head == "policy" else self.critic
        return nn.Sequential(DivideBy255(), self.network, last)


class QNetwork(nn.Module):
    """``dqn_atari.QNetwork``: one Sequential."""

    heads = ("q",)

    def __init__(self, channels: int, convolved: int, features: int, actions: int) -> None:
        super().__init__()
        linear = (nn.Linear(convolved, features), nn.ReLU(), nn.Linear(features, actions))
        self.network = nn.Sequential(*convolutions(channels), *linear)

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        return nn.Sequential(DivideBy255(), self.network)


def _recognise(shapes: Shapes, hints: Mapping[str, Any], *, last: str) -> Arguments | None:
    return None if "atoms" in shapes else q_arguments(shapes, "network.0", "network.7", last)


def as_in(script: str) -> Callable[[Arguments, Mapping[str, Any]], tuple[str, ...]]:
    """Return what says that the network is that of a `script` of CleanRL, of which one saves weights."""
    return always(
        f"the network of CleanRL's {script}: ReLU, pixels divided by 255 inside (weights do not tell)"
    )


ARCHITECTURES = (
    Architecture(
        name="cleanrl-ppo-atari",
        factory=ActorCritic,
        recognise=partial(_recognise, last="actor"),
        preprocessing=INSIDE,
        source="cleanrl/ppo_atari.py",
        assumes=as_in("ppo_atari.py"),
    ),
    Architecture(
        name="cleanrl-dqn-atari",
        factory=QNetwork,
        recognise=partial(_recognise, last="network.9"),
        preprocessing=INSIDE,
        source="cleanrl/dqn_atari.py",
        assumes=as_in("dqn_atari.py"),
    ),
)
