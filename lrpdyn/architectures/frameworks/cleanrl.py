"""CleanRL's Atari networks: NatureCNN with the division by 255 inside ``forward``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.architectures.model import INSIDE, Architecture, Arguments, always
from lrpdyn.architectures.nature_cnn import convolutions, q_arguments
from lrpdyn.architectures.orthogonal import orthogonal
from lrpdyn.architectures.recurrence import RecurrentPath, recurrent, recurrent_sizes
from lrpdyn.checkpoints.model import Shapes


class DivideBy255(nn.Module):
    """The first thing that CleanRL's ``forward`` does."""

    def forward(self, x: Tensor) -> Tensor:
        """Bring pixels of 0..255 to 0..1."""
        return x / 255.0


class ActorCritic(nn.Module):
    """``ppo_atari.Agent``: ``network``, ``actor``, ``critic``."""

    heads = ("policy", "value")
    action_space = "discrete"

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
        return nn.Sequential(self.preprocessing(), self.network, last)

    def preprocessing(self) -> nn.Module:
        """Return what the pixels go through first."""
        return DivideBy255()


class RecurrentActorCritic(ActorCritic):
    """``ppo_atari_lstm.Agent``: ``lstm`` between ``network`` and the heads; one frame at a time."""

    def __init__(
        self, channels: int, convolved: int, features: int, actions: int, lstm: Arguments
    ) -> None:
        super().__init__(channels, convolved, features, actions)
        self.lstm = recurrent(**lstm)
        self.actor, self.critic = (nn.Linear(lstm["hidden"], n) for n in (actions, 1))

    def initialise(self) -> None:
        """Begin as CleanRL does (``layer_init``, and the same of the LSTM, at a gain of 1)."""
        super().initialise()
        for name, weights in self.lstm.named_parameters():
            nn.init.zeros_(weights) if "bias" in name else nn.init.orthogonal_(weights, 1.0)

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observations to the outputs of `head`."""
        before = nn.Sequential(self.preprocessing(), self.network)
        last = self.actor if head == "policy" else self.critic
        return RecurrentPath(before, self.lstm, last, axes=4, name="lstm")


class DivideFrames(nn.Module):
    """Bring the frames of a stack to 0..1, and leave the planes behind them that say whose turn it is."""

    divisor: Tensor

    def __init__(self, frames: int, planes: int) -> None:
        super().__init__()
        divisor = torch.tensor([255.0] * frames + [1.0] * planes).view(1, -1, 1, 1)
        self.register_buffer("divisor", divisor, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Divide the frames by 255."""
        return x / self.divisor


class SharedActorCritic(ActorCritic):
    """``ppo_pettingzoo_ma_atari.Agent``, of two agents: four frames, and a plane for each agent."""

    def __init__(self, channels: int, convolved: int, features: int, actions: int) -> None:
        super().__init__(channels, convolved, features, actions)
        self.divide = DivideFrames(4, channels - 4)

    def preprocessing(self) -> nn.Module:
        """Return what the frames go through first, and the planes do not."""
        return self.divide


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


class SoftActor(nn.Module):
    """``Actor`` of ``sac_atari``, or with `last` ``fc_q`` its ``SoftQNetwork``."""

    heads: tuple[str, ...] = ("policy",)
    action_space = "discrete"

    def __init__(
        self, channels: int, convolved: int, features: int, actions: int, last: str
    ) -> None:
        super().__init__()
        if last == "fc_q":
            self.heads = ("q",)
        self.conv = nn.Sequential(*convolutions(channels)[:-2], nn.Flatten())
        self.fc1 = nn.Linear(convolved, features)
        self._last = last
        self.add_module(last, nn.Linear(features, actions))

    def initialise(self) -> None:
        """Begin as CleanRL does (``layer_init``)."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the outputs of the head."""
        layers = (self.conv, nn.ReLU(), self.fc1, nn.ReLU(), self.get_submodule(self._last))
        return nn.Sequential(DivideBy255(), *layers)


class NormalisedQNetwork(nn.Module):
    """``pqn_atari_envpool.QNetwork``; `normalised` are the shapes of its LayerNorms."""

    heads = ("q",)

    def __init__(
        self,
        channels: int,
        convolved: int,
        features: int,
        actions: int,
        normalised: list[tuple[int, ...]],
    ) -> None:
        super().__init__()
        norms = iter(normalised)
        linear = [nn.Linear(convolved, features), nn.ReLU(), nn.Linear(features, actions)]
        layers: list[nn.Module] = []
        for layer in (*convolutions(channels), *linear):
            norm = [nn.LayerNorm(next(norms))] if isinstance(layer, nn.ReLU) else []
            layers += [*norm, layer]
        self.network = nn.Sequential(*layers)

    def initialise(self) -> None:
        """Begin as CleanRL does (``layer_init``)."""
        orthogonal(self, {})

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        return nn.Sequential(DivideBy255(), self.network)


def _recognise(shapes: Shapes, hints: Mapping[str, Any], *, last: str) -> Arguments | None:
    return None if "atoms" in shapes else q_arguments(shapes, "network.0", "network.7", last)


def _recognise_shared(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    # The number of channels is all that weights say: CleanRL's other PPO sees four frames and no more.
    return _recognise(shapes, hints, last="actor") if shapes["network.0.weight"][1] == 6 else None


def _recognise_recurrent(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    found, lstm = _recognise(shapes, hints, last="actor"), recurrent_sizes(shapes, "lstm")
    return None if found is None or lstm is None else {**found, "lstm": lstm}


def _recognise_soft(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    last = "fc_q" if "fc_q.weight" in shapes else "fc_logits"
    found = q_arguments(shapes, "conv.0", "fc1", last)
    return found and {**found, "last": last}


def _recognise_normalised(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    found = q_arguments(shapes, "network.0", "network.10", "network.13")
    norms = [shapes[f"network.{index}.weight"] for index in (1, 4, 7, 11)]
    return found and {**found, "normalised": norms}


def as_in(script: str) -> Callable[[Arguments, Mapping[str, Any]], tuple[str, ...]]:
    """Return what says that the network is that of a `script` of CleanRL, of which one saves weights."""
    return always(
        f"the network of CleanRL's {script}: ReLU, pixels divided by 255 inside (weights do not tell)"
    )


ARCHITECTURES = (
    Architecture(
        name="cleanrl-ppo-pettingzoo-atari",
        factory=SharedActorCritic,
        recognise=_recognise_shared,
        preprocessing=INSIDE,
        source="cleanrl/ppo_pettingzoo_ma_atari.py",
        assumes=always(
            "the network of CleanRL's ppo_pettingzoo_ma_atari.py, for it sees 6 channels: ReLU, the "
            "first 4 divided by 255 inside, the others not (weights do not tell; --arch "
            "cleanrl-ppo-atari divides all)"
        ),
    ),
    Architecture(
        name="cleanrl-ppo-atari",
        factory=ActorCritic,
        recognise=partial(_recognise, last="actor"),
        preprocessing=INSIDE,
        source="cleanrl/ppo_atari.py",
        assumes=as_in("ppo_atari.py"),
    ),
    Architecture(
        name="cleanrl-ppo-atari-lstm",
        factory=RecurrentActorCritic,
        recognise=_recognise_recurrent,
        preprocessing=INSIDE,
        source="cleanrl/ppo_atari_lstm.py",
        assumes=as_in("ppo_atari_lstm.py"),
    ),
    Architecture(
        name="cleanrl-dqn-atari",
        factory=QNetwork,
        recognise=partial(_recognise, last="network.9"),
        preprocessing=INSIDE,
        source="cleanrl/dqn_atari.py",
        assumes=as_in("dqn_atari.py"),
    ),
    Architecture(
        name="cleanrl-sac-atari",
        factory=SoftActor,
        recognise=_recognise_soft,
        preprocessing=INSIDE,
        source="cleanrl/sac_atari.py",
        assumes=as_in("sac_atari.py"),
    ),
    Architecture(
        name="cleanrl-pqn-atari",
        factory=NormalisedQNetwork,
        recognise=_recognise_normalised,
        preprocessing=INSIDE,
        source="cleanrl/pqn_atari_envpool.py",
        assumes=as_in("pqn_atari_envpool.py"),
    ),
)
