"""CleanRL's Atari networks, from their published layout."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lrpdyn.architectures.registry import load_weights, path_of, resolve
from lrpdyn.checkpoints.model import Header


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


class CleanAgent(nn.Module):
    """cleanrl/ppo_atari.py, from its published layout."""

    def __init__(self, dqn: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(4, 32, 8, stride=4), nn.ReLU(), nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(),
            nn.Conv2d(64, 64, 3, stride=1), nn.ReLU(), nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(),
        ]  # fmt: skip
        if dqn:
            layers.append(nn.Linear(512, 6))
        self.network = nn.Sequential(*layers)
        if not dqn:
            self.actor, self.critic = nn.Linear(512, 6), nn.Linear(512, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.network(x / 255.0)
        return self.actor(hidden) if hasattr(self, "actor") else hidden


@pytest.mark.parametrize(
    ("dqn", "name"), [(False, "cleanrl-ppo-atari"), (True, "cleanrl-dqn-atari")]
)
def test_cleanrl_atari(dqn: bool, name: str) -> None:
    torch.manual_seed(0)
    agent = CleanAgent(dqn)
    resolved = resolve(None, {}, Header(shapes(agent)), "here")
    assert resolved.architecture.name == name
    network = resolved.build()
    load_weights(network, agent.state_dict(), resolved, "here")
    x = torch.randint(0, 256, (2, 4, 84, 84)).float()
    torch.testing.assert_close(path_of(network, None)[1](x), agent(x))
