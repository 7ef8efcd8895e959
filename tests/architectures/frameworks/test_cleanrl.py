"""CleanRL's Atari networks, from their published layout."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lrpdyn.architectures.registry import load_weights, path_of, resolve
from lrpdyn.checkpoints.model import Header
from lrpdyn.lrp.canonical.canonise import canonise
from tests.architectures.conftest import Compare, Load


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


class Convolutions(nn.Module):
    """The layout that sac_atari.py, pqn_atari_envpool.py and ppo_pettingzoo_ma_atari.py share."""

    def __init__(
        self, channels: int, *, normalised: bool = False, end_in_relu: bool = True
    ) -> None:
        super().__init__()
        sizes, shapes = (channels, 32, 64, 64), ((32, 20, 20), (64, 9, 9), (64, 7, 7))
        self.layers: list[nn.Module] = []
        for n, (kernel, stride) in enumerate(((8, 4), (4, 2), (3, 1))):
            norm = [nn.LayerNorm(shapes[n])] if normalised else []
            convolution = nn.Conv2d(sizes[n], sizes[n + 1], kernel, stride=stride)
            relu = [nn.ReLU()] if n < 2 or end_in_relu else []
            self.layers += [convolution, *norm, *relu]
        self.layers.append(nn.Flatten())


class SharedAgent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers = Convolutions(6).layers
        self.network = nn.Sequential(*layers, nn.Linear(3136, 512), nn.ReLU())
        self.actor, self.critic = nn.Linear(512, 6), nn.Linear(512, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[:, :, :, [0, 1, 2, 3]] /= 255.0
        return self.actor(self.network(x.permute((0, 3, 1, 2))))


class SoftAgent(nn.Module):
    def __init__(self, last: str) -> None:
        super().__init__()
        self.conv = nn.Sequential(*Convolutions(4, end_in_relu=False).layers)
        self.fc1 = nn.Linear(3136, 512)
        self.add_module(last, nn.Linear(512, 6))
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(x / 255.0))
        return self.get_submodule(self.last)(torch.relu(self.fc1(x)))


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        linear = (nn.Linear(3136, 512), nn.LayerNorm(512), nn.ReLU(), nn.Linear(512, 6))
        self.network = nn.Sequential(*Convolutions(4, normalised=True).layers, *linear)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x / 255.0)


@pytest.mark.parametrize(
    ("agent", "name", "head"),
    [
        (SharedAgent(), "cleanrl-ppo-pettingzoo-atari", "policy"),
        (SoftAgent("fc_logits"), "cleanrl-sac-atari", "policy"),
        (SoftAgent("fc_q"), "cleanrl-sac-atari", "q"),
        (Normalised(), "cleanrl-pqn-atari", "q"),
    ],
)
def test_other_atari_networks(
    agent: nn.Module, name: str, head: str, load: Load, compare: Compare
) -> None:
    channels = 6 if isinstance(agent, SharedAgent) else 4
    x = torch.randint(0, 256, (2, channels, 84, 84)).float()
    with torch.no_grad():
        wanted = agent(x.permute(0, 2, 3, 1) if channels == 6 else x)
    resolved, network = load(agent.state_dict())
    assert (resolved.architecture.name, network.heads[0]) == (name, head)
    assert resolved.assumed
    compare(network, x, wanted)
    torch.testing.assert_close(canonise(path_of(network, None)[1])(x), wanted)


def test_six_frames_are_said_to_be_two_players(load: Load) -> None:
    resolved, _ = load(SharedAgent().state_dict())
    assert resolved.also == ("cleanrl-ppo-atari",)
    assert "first 4 divided by 255 inside, the others not" in resolved.assumed[0]


class RecurrentAgent(nn.Module):
    """ppo_atari_lstm.py: Agent."""

    def __init__(self) -> None:
        super().__init__()
        layers = Convolutions(1).layers
        self.network = nn.Sequential(*layers, nn.Linear(3136, 512), nn.ReLU())
        self.lstm = nn.LSTM(512, 128)
        self.actor, self.critic = nn.Linear(128, 6), nn.Linear(128, 1)

    def get_states(
        self, x: Tensor, lstm_state: tuple[Tensor, Tensor], done: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        hidden = self.network(x / 255.0)
        batch_size = lstm_state[0].shape[1]
        hidden = hidden.reshape((-1, batch_size, self.lstm.input_size))
        done = done.reshape((-1, batch_size))
        new_hidden = []
        for h, d in zip(hidden, done, strict=True):
            kept = (1.0 - d).view(1, -1, 1)
            h, lstm_state = self.lstm(h.unsqueeze(0), (kept * lstm_state[0], kept * lstm_state[1]))
            new_hidden += [h]
        return torch.flatten(torch.cat(new_hidden), 0, 1), lstm_state


def test_a_recurrent_agent(load: Load, compare: Compare) -> None:
    torch.manual_seed(0)
    agent = RecurrentAgent()
    resolved, network = load(agent.state_dict())
    assert (resolved.architecture.name, resolved.also) == ("cleanrl-ppo-atari-lstm", ())
    samples, steps = 3, 4
    x = torch.randint(0, 256, (samples, steps, 1, 84, 84)).float()
    state = (torch.randn(1, samples, 128), torch.randn(1, samples, 128))
    with torch.no_grad():
        by_time = x.transpose(0, 1).flatten(0, 1)
        hidden, _ = agent.get_states(by_time, state, torch.zeros(steps * samples))
    hidden = hidden.view(steps, samples, 128)
    for head, last in (("policy", agent.actor), ("value", agent.critic)):
        path = path_of(network, head)[1]
        for name, values in zip(("lstm_h", "lstm_c"), state, strict=True):
            path.get_buffer(f"held_{name}").data = values.transpose(0, 1)
        with torch.no_grad():
            torch.testing.assert_close(path(x), last(hidden[-1]), rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(path(x[:, 0]), last(hidden[0]), rtol=1e-5, atol=1e-6)
