"""PFRL's Atari networks; noisy layers by their mean weights.

Their ``phi`` divides pixels by 255 before the network. The atoms of a distribution are not among
the weights: `v_min` and `v_max` are those of PFRL's Rainbow example unless the user says others.
Others stretch and shift all Q values alike, and with them the maps' scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.architectures.model import OUTSIDE, Architecture, Arguments
from lrpdyn.architectures.nature_cnn import channels_of
from lrpdyn.architectures.nature_cnn import convolutions as nature
from lrpdyn.architectures.noisy import NoisyPair
from lrpdyn.architectures.outputs import AtomMean, Dueling
from lrpdyn.checkpoints.model import Shapes

_EXAMPLES = "pfrl/examples/atari"


def _linear(inputs: int, outputs: int, noisy: bool) -> nn.Module:
    return NoisyPair(inputs, outputs) if noisy else nn.Linear(inputs, outputs)


def _convolutions(channels: int, small: bool = False) -> nn.ModuleList:
    if small:
        return nn.ModuleList([nn.Conv2d(channels, 16, 8, stride=4), nn.Conv2d(16, 32, 4, stride=2)])
    return nn.ModuleList(layer for layer in nature(channels) if isinstance(layer, nn.Conv2d))


class _Convolved(nn.Module):
    """Convolutions with a ReLU after each, flattened."""

    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.relu(layer(x))
        return x.flatten(1)


class DQN(nn.Module):
    """Sequential of ``LargeAtariCNN`` (`small`: ``SmallAtariCNN``), Linear, action value head."""

    heads = ("q",)

    def __init__(
        self,
        channels: int,
        convolved: int,
        features: int,
        actions: int,
        small: bool = False,
        noisy: bool = False,
    ) -> None:
        super().__init__()
        body = nn.Module()
        body.layers = _convolutions(channels, small)
        body.output = _linear(convolved, features, noisy)
        self.add_module("0", body)
        self.add_module("1", _linear(features, actions, noisy))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        layers = self.get_submodule("0.layers")
        assert isinstance(layers, nn.ModuleList)
        hidden, output = self.get_submodule("0.output"), self.get_submodule("1")
        return nn.Sequential(_Convolved(layers), hidden, nn.ReLU(), output)


class DuelingDQN(nn.Module):
    """``pfrl.q_functions.DuelingDQN``: a perceptron for each stream."""

    heads = ("q",)

    def __init__(
        self, channels: int, convolved: int, features: int, actions: int, noisy: bool = False
    ) -> None:
        super().__init__()
        self.conv_layers = _convolutions(channels)
        for name, outputs in (("a_stream", actions), ("v_stream", 1)):
            stream = nn.Module()
            stream.hidden_layers = nn.ModuleList([_linear(convolved, features, noisy)])
            stream.output = _linear(features, outputs, noisy)
            self.add_module(name, stream)
        self._actions = actions

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        value, advantage = (
            nn.Sequential(
                self.get_submodule(f"{name}.hidden_layers.0"),
                nn.ReLU(),
                self.get_submodule(f"{name}.output"),
            )
            for name in ("v_stream", "a_stream")
        )
        return nn.Sequential(
            _Convolved(self.conv_layers), Dueling(value, advantage, self._actions)
        )  # fmt: skip


class _Half(nn.Module):
    """One of the two halves of the features, and what it goes through."""

    def __init__(self, start: int, stop: int, layer: nn.Module) -> None:
        super().__init__()
        self.start, self.stop, self.layer = start, stop, layer

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features[:, self.start : self.stop])  # type: ignore[no-any-return]


class DistributionalDuelingDQN(nn.Module):
    """``pfrl.q_functions.DistributionalDuelingDQN``, PFRL's Rainbow where it is `noisy`."""

    heads = ("q",)
    z_values: Tensor

    def __init__(
        self,
        channels: int,
        convolved: int,
        features: int,
        actions: int,
        n_atoms: int,
        v_min: float = -10.0,
        v_max: float = 10.0,
        noisy: bool = False,
    ) -> None:
        super().__init__()
        self.conv_layers = _convolutions(channels)
        self.main_stream = _linear(convolved, features, noisy)
        self.a_stream = _linear(features // 2, actions * n_atoms, noisy)
        self.v_stream = _linear(features // 2, n_atoms, noisy)
        support = torch.linspace(v_min, v_max, n_atoms)
        self.register_buffer("z_values", support, persistent=False)
        self._actions, self._features = actions, features

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        middle = self._features // 2
        streams = Dueling(
            _Half(middle, self._features, self.v_stream),
            _Half(0, middle, self.a_stream),
            self._actions,
            len(self.z_values),
        )
        return nn.Sequential(
            _Convolved(self.conv_layers),
            self.main_stream,
            nn.ReLU(),
            streams,
            AtomMean(self._actions, self.z_values),
        )


class ActorCritic(nn.Module):
    """The Sequential of PFRL's A2C and PPO examples, which ends in a ``Branched``."""

    heads = ("policy", "value")

    def __init__(self, channels: int, convolved: int, features: int, actions: int) -> None:
        super().__init__()
        body = (*nature(channels), nn.Linear(convolved, features), nn.ReLU())
        for index, layer in enumerate(body):
            self.add_module(str(index), layer)
        self._body = len(body)
        branched = nn.Module()
        branched.child_modules = nn.ModuleList(
            [nn.Sequential(nn.Linear(features, actions)), nn.Linear(features, 1)]
        )
        self.add_module(str(self._body), branched)

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the outputs of `head`."""
        body = [self.get_submodule(str(index)) for index in range(self._body)]
        branch = self.heads.index(head)
        return nn.Sequential(*body, self.get_submodule(f"{self._body}.child_modules.{branch}"))


def _weight(shapes: Shapes, layer: str) -> tuple[tuple[int, ...], bool] | None:
    """Return the shape of a linear layer's (mean) weights, and whether it is noisy."""
    for name, noisy in ((f"{layer}.weight", False), (f"{layer}.mu.weight", True)):
        if len(shapes.get(name, ())) == 2:
            return shapes[name], noisy
    return None


def _arguments(shapes: Shapes, channels: int | None, hidden: str, output: str) -> Arguments | None:
    first, last = _weight(shapes, hidden), _weight(shapes, output)
    if channels is None or first is None or last is None:
        return None
    (features, convolved), noisy = first
    return {
        "channels": channels,
        "convolved": convolved,
        "features": features,
        "actions": last[0][0],
        **({"noisy": True} if noisy else {}),
    }


def _recognise_dqn(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    first = shapes.get("0.layers.0.weight", ())
    small = len(first) == 4 and (first[0], *first[2:]) == (16, 8, 8)
    channels = first[1] if small else channels_of(shapes, "0.layers.0")
    found = _arguments(shapes, channels, "0.output", "1")
    return None if found is None else {**found, **({"small": True} if small else {})}


def _recognise_dueling(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    channels = channels_of(shapes, "conv_layers.0")
    return _arguments(shapes, channels, "a_stream.hidden_layers.0", "a_stream.output")


def _recognise_distributional(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    channels = channels_of(shapes, "conv_layers.0")
    found, value = (
        _arguments(shapes, channels, "main_stream", "a_stream"),
        _weight(shapes, "v_stream"),
    )
    if found is None or value is None:
        return None
    atoms = value[0][0]
    support = {"n_atoms": atoms, "v_min": -10.0, "v_max": 10.0}
    return {**found, "actions": found["actions"] // atoms, **support}


def _recognise_actor_critic(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    return _arguments(shapes, channels_of(shapes, "0"), "7", "9.child_modules.0.0")


ARCHITECTURES = (
    Architecture("pfrl-dqn-atari", DQN, _recognise_dqn, OUTSIDE, f"{_EXAMPLES}/train_dqn_ale.py"),
    Architecture(
        "pfrl-dueling-dqn-atari",
        DuelingDQN,
        _recognise_dueling,
        OUTSIDE,
        "pfrl.q_functions.DuelingDQN",
    ),
    Architecture(
        "pfrl-rainbow-atari",
        DistributionalDuelingDQN,
        _recognise_distributional,
        OUTSIDE,
        "pfrl.q_functions.DistributionalDuelingDQN",
    ),
    Architecture(
        "pfrl-ppo-atari",
        ActorCritic,
        _recognise_actor_critic,
        OUTSIDE,
        f"{_EXAMPLES}/train_ppo_ale.py",
    ),
)
