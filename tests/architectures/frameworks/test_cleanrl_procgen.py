"""CleanRL's procgen agents, from their published layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        inputs = x
        x = self.conv0(nn.functional.relu(x))
        return self.conv1(nn.functional.relu(x)) + inputs


class Sequence(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)
        self.res_block0, self.res_block1 = Block(outputs), Block(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.conv(x), kernel_size=3, stride=2, padding=1)
        return self.res_block1(self.res_block0(x))


class Procgen(nn.Module):
    """cleanrl/ppo_procgen.py and, with `auxiliary`, ppg_procgen.py: Agent; channels last."""

    def __init__(self, auxiliary: bool) -> None:
        super().__init__()
        self.network = nn.Sequential(
            Sequence(3, 16), Sequence(16, 32), Sequence(32, 32),
            nn.Flatten(), nn.ReLU(), nn.Linear(2048, 256), nn.ReLU(),
        )  # fmt: skip
        self.actor, self.critic = nn.Linear(256, 15), nn.Linear(256, 1)
        if auxiliary:
            self.aux_critic = nn.Linear(256, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.network(x.permute((0, 3, 1, 2)) / 255.0)
        outputs = {"policy": self.actor(hidden), "value": self.critic(hidden)}
        if hasattr(self, "aux_critic"):
            outputs["auxiliary-value"] = self.aux_critic(hidden)
        return outputs


@pytest.mark.parametrize(
    ("auxiliary", "name"), [(False, "cleanrl-ppo-procgen"), (True, "cleanrl-ppg-procgen")]
)
def test_procgen(
    load: Callable[..., Any], compare: Callable[..., None], auxiliary: bool, name: str
) -> None:
    torch.manual_seed(0)
    theirs = Procgen(auxiliary)
    resolved, network = load(theirs.state_dict())
    assert resolved.architecture.name == name
    images = torch.randint(0, 256, (2, 64, 64, 3)).float()
    with torch.no_grad():
        outputs = theirs(images)
    assert network.heads == tuple(outputs)
    for head, wanted in outputs.items():
        compare(network, images.permute(0, 3, 1, 2), wanted, head)


class Student(nn.Module):
    """cleanrl/qdagger_dqn_atari_impalacnn.py: QNetwork."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            Sequence(4, 16), Sequence(16, 32), Sequence(32, 32),
            nn.Flatten(), nn.ReLU(), nn.Linear(3872, 256), nn.ReLU(), nn.Linear(256, 6),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x / 255.0)


def test_the_student_of_qdagger(load: Callable[..., Any], compare: Callable[..., None]) -> None:
    torch.manual_seed(0)
    theirs = Student()
    resolved, network = load(theirs.state_dict())
    assert (resolved.architecture.name, resolved.also) == ("cleanrl-qdagger-impala", ())
    images = torch.randint(0, 256, (2, 4, 84, 84)).float()
    with torch.no_grad():
        compare(network, images, theirs(images))
