"""Networks of Tianshou, from their published layout."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

Weights = dict[str, Tensor]


def under(*names: str, weights: Mapping[str, Tensor]) -> Weights:
    return {f"{name}.{key}": value for name in names for key, value in weights.items()}


def convolutions() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(),
        nn.Conv2d(64, 64, 3, 1), nn.ReLU(), nn.Flatten(),
    )  # fmt: skip


class DQNet(nn.Module):
    def __init__(self, outputs: int | None) -> None:
        super().__init__()
        last = [] if outputs is None else [nn.Linear(512, outputs)]
        self.net = nn.Sequential(convolutions(), nn.Linear(3136, 512), nn.ReLU(), *last)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
