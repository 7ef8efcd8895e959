"""CleanRL's procgen agents, and QDagger's student: IMPALA's residual CNN (Espeholt et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.architectures.frameworks.cleanrl import DivideBy255, as_in
from lrpdyn.architectures.model import INSIDE, Architecture, Arguments
from lrpdyn.checkpoints.model import Shapes


class ResidualBlock(nn.Module):
    """Two convolutions, each after a ReLU, and their input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, channels, H, W)."""
        return x + self.conv1(F.relu(self.conv0(F.relu(x))))  # type: ignore[no-any-return]


class ConvSequence(nn.Module):
    """A convolution, max-pooling that halves the image, two residual blocks."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.res_block0 = ResidualBlock(outputs)
        self.res_block1 = ResidualBlock(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Bring (N, inputs, H, W) to (N, outputs, H / 2, W / 2), rounded up."""
        pooled = F.max_pool2d(self.conv(x), kernel_size=3, stride=2, padding=1)
        return self.res_block1(self.res_block0(pooled))  # type: ignore[no-any-return]


def impala(channels: list[int], convolved: int, features: int) -> list[nn.Module]:
    """Return the layers from images, 0 to 1, to features; `channels` are inputs first."""
    sequences = [ConvSequence(*pair) for pair in pairwise(channels)]
    return [*sequences, nn.Flatten(), nn.ReLU(), nn.Linear(convolved, features), nn.ReLU()]


class Agent(nn.Module):
    """``ppo_procgen.Agent``: ``network``, ``actor``, ``critic``.

    There observations come with channels last and are permuted in ``forward``; here they always
    have their channels first.
    """

    heads: tuple[str, ...] = ("policy", "value")
    action_space = "discrete"

    def __init__(self, channels: list[int], convolved: int, features: int, actions: int) -> None:
        super().__init__()
        self.network = nn.Sequential(*impala(channels, convolved, features))
        self.actor = nn.Linear(features, actions)
        self.critic = nn.Linear(features, 1)

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation (N, C, H, W) to the outputs of `head`."""
        name = {"policy": "actor", "value": "critic", "auxiliary-value": "aux_critic"}[head]
        return nn.Sequential(DivideBy255(), self.network, self.get_submodule(name))


class PhasicAgent(Agent):
    """``ppg_procgen.Agent``, which has ``aux_critic`` too."""

    heads = ("policy", "value", "auxiliary-value")

    def __init__(self, channels: list[int], convolved: int, features: int, actions: int) -> None:
        super().__init__(channels, convolved, features, actions)
        self.aux_critic = nn.Linear(features, 1)


class Student(nn.Module):
    """``qdagger_dqn_atari_impalacnn.QNetwork``: one Sequential. Its teacher is DQN's network."""

    heads = ("q",)

    def __init__(self, channels: list[int], convolved: int, features: int, actions: int) -> None:
        super().__init__()
        layers = impala(channels, convolved, features)
        self.network = nn.Sequential(*layers, nn.Linear(features, actions))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        return nn.Sequential(DivideBy255(), self.network)


def _recognise_agent(
    shapes: Shapes, hints: Mapping[str, Any], *, auxiliary: bool
) -> Arguments | None:
    if ("aux_critic.weight" in shapes) != auxiliary:
        return None
    return _recognise(shapes, shapes.get("actor.weight"))


def _recognise_student(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    sequences = sum(key.endswith(".conv.weight") for key in shapes)
    return _recognise(shapes, shapes.get(f"network.{sequences + 4}.weight"))


def _recognise(shapes: Shapes, last: tuple[int, ...] | None) -> Arguments | None:
    convolutions: list[tuple[int, ...]] = []
    while (shape := shapes.get(f"network.{len(convolutions)}.conv.weight")) is not None:
        convolutions.append(shape)
    linear = shapes.get(f"network.{len(convolutions) + 2}.weight")
    if last is None or not convolutions or linear is None:
        return None
    return {
        "channels": [convolutions[0][1], *(shape[0] for shape in convolutions)],
        "convolved": linear[1],
        "features": linear[0],
        "actions": last[0],
    }


ARCHITECTURES = (
    Architecture(
        name="cleanrl-ppo-procgen",
        factory=Agent,
        recognise=partial(_recognise_agent, auxiliary=False),
        preprocessing=INSIDE,
        source="cleanrl/ppo_procgen.py",
        assumes=as_in("ppo_procgen.py"),
    ),
    Architecture(
        name="cleanrl-ppg-procgen",
        factory=PhasicAgent,
        recognise=partial(_recognise_agent, auxiliary=True),
        preprocessing=INSIDE,
        source="cleanrl/ppg_procgen.py",
        assumes=as_in("ppg_procgen.py"),
    ),
    Architecture(
        name="cleanrl-qdagger-impala",
        factory=Student,
        recognise=_recognise_student,
        preprocessing=INSIDE,
        source="cleanrl/qdagger_dqn_atari_impalacnn.py",
        assumes=as_in("qdagger_dqn_atari_impalacnn.py"),
    ),
)
