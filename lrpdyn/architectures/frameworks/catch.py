"""The small agent that ``lrpdyn demo`` trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from lrpdyn.architectures.model import OUTSIDE, Architecture, Arguments
from lrpdyn.checkpoints.model import Shapes


class CatchNetwork(nn.Module):
    """Policy and value on shared features of `channels` stacked pictures of 24 x 24 pixels."""

    heads = ("policy", "value")
    action_space = "discrete"

    def __init__(self, channels: int = 2, actions: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 5 * 5, 64),
            nn.ReLU(),
        )
        self.policy = nn.Linear(64, actions)
        self.value = nn.Linear(64, 1)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, actions) and values (N, 1) for (N, channels, 24, 24) in 0..1."""
        features = self.features(observations)
        return self.policy(features), self.value(features)

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the outputs of `head`."""
        return nn.Sequential(self.features, self.policy if head == "policy" else self.value)


def _recognise(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    first, policy = shapes.get("features.0.weight"), shapes.get("policy.weight")
    if first is None or policy is None or "value.weight" not in shapes:
        return None
    return {"channels": first[1], "actions": policy[0]}


ARCHITECTURE = Architecture(
    name="catch",
    factory=CatchNetwork,
    recognise=_recognise,
    preprocessing=OUTSIDE,
    source="lrpdyn demo",
)
