"""PFRL's Atari networks; noisy layers by their mean weights.

Their ``phi`` divides pixels by 255 before the network. The atoms of a distribution are not among
the weights: `v_min` and `v_max` are those of PFRL's Rainbow example unless the user says others.
Others stretch and shift all Q values alike, and with them the maps' scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.architectures.model import OUTSIDE, Architecture, Arguments
from lrpdyn.architectures.nature_cnn import convolutions as nature
from lrpdyn.architectures.nature_cnn import q_arguments
from lrpdyn.architectures.noisy import NoisyPair
from lrpdyn.architectures.outputs import AtomMean, Dueling
from lrpdyn.architectures.places import place
from lrpdyn.checkpoints.model import Shapes

_EXAMPLES, _FUNCTIONS = "pfrl/examples/atari", "pfrl.q_functions"


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
        place(self, "0.layers", _convolutions(channels, small))
        place(self, "0.output", _linear(convolved, features, noisy))
        place(self, "1", _linear(features, actions, noisy))

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
            hidden = nn.ModuleList([_linear(convolved, features, noisy)])
            place(self, f"{name}.hidden_layers", hidden)
            place(self, f"{name}.output", _linear(features, outputs, noisy))
        self._actions = actions

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        streams = Dueling(self._stream("v_stream"), self._stream("a_stream"), self._actions)
        return nn.Sequential(_Convolved(self.conv_layers), streams)

    def _stream(self, name: str) -> nn.Module:
        hidden, output = (self.get_submodule(f"{name}.{n}") for n in ("hidden_layers.0", "output"))
        return nn.Sequential(hidden, nn.ReLU(), output)


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
    action_space = "discrete"

    def __init__(self, channels: int, convolved: int, features: int, actions: int) -> None:
        super().__init__()
        body = (*nature(channels), nn.Linear(convolved, features), nn.ReLU())
        place(self, "", nn.Sequential(*body))
        branches = [nn.Sequential(nn.Linear(features, actions)), nn.Linear(features, 1)]
        place(self, "9.child_modules", nn.ModuleList(branches))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the outputs of `head`."""
        branch = self.get_submodule(f"9.child_modules.{self.heads.index(head)}")
        return nn.Sequential(*list(self.children())[:-1], branch)


def _arguments(
    shapes: Shapes, first: str, hidden: str, output: str, *, filters: int = 32
) -> Arguments | None:
    noisy = f"{hidden}.mu.weight" in shapes
    weight = "mu.weight" if noisy else "weight"
    if len(shapes.get(f"{output}.{weight}", ())) != 2:
        return None
    found = q_arguments(shapes, first, hidden, output, weight=weight, filters=filters)
    return {**found, "noisy": True} if found and noisy else found


def _recognise_dqn(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    layers = ("0.layers.0", "0.output", "1")
    small = _arguments(shapes, *layers, filters=16)
    return _arguments(shapes, *layers) if small is None else {**small, "small": True}


def _recognise_dueling(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    return _arguments(shapes, "conv_layers.0", "a_stream.hidden_layers.0", "a_stream.output")


def _recognise_distributional(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    found = _arguments(shapes, "conv_layers.0", "main_stream", "a_stream")
    if found is None:
        return None
    atoms, _ = shapes["v_stream.mu.weight" if "noisy" in found else "v_stream.weight"]
    support = {"n_atoms": atoms, "v_min": -10.0, "v_max": 10.0}
    return {**found, "actions": found["actions"] // atoms, **support}


def _recognise_actor_critic(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    return _arguments(shapes, "0", "7", "9.child_modules.0.0")


def _assumes(arguments: Arguments, hints: Mapping[str, Any], *, source: str) -> tuple[str, ...]:
    scaled = "" if "normalize_images" in hints else ", images divided by 255"
    ends = [arguments[end] for end in ("v_min", "v_max") if end in arguments]
    atoms = f", atoms from {ends[0]:g} to {ends[1]:g}" if ends else ""
    return (f"{source} of PFRL: ReLU{scaled}{atoms} (weights do not tell)",)


ARCHITECTURES = tuple(
    Architecture(
        name=f"pfrl-{name}-atari",
        factory=factory,
        recognise=recognise,
        preprocessing=OUTSIDE,
        source=source,
        assumes=partial(_assumes, source=source.rpartition("/")[2]),
    )
    for name, factory, recognise, source in (
        ("dqn", DQN, _recognise_dqn, f"{_EXAMPLES}/train_dqn_ale.py"),
        ("dueling-dqn", DuelingDQN, _recognise_dueling, f"{_FUNCTIONS}.DuelingDQN"),
        (
            "rainbow",
            DistributionalDuelingDQN,
            _recognise_distributional,
            f"{_FUNCTIONS}.DistributionalDuelingDQN",
        ),
        ("ppo", ActorCritic, _recognise_actor_critic, f"{_EXAMPLES}/train_ppo_ale.py"),
    )
)
