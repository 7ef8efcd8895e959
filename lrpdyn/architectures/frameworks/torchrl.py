"""torchrl's networks: the DQN of Atari, dueling networks, DDPG's actors, Gaussian actors, recurrent ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.architectures.mlp import activation, activation_of, chain_sizes, perceptron
from lrpdyn.architectures.model import Architecture, Arguments
from lrpdyn.architectures.outputs import Dueling
from lrpdyn.architectures.places import place
from lrpdyn.architectures.recurrence import RecurrentPath, recurrent, recurrent_sizes
from lrpdyn.checkpoints.model import Shapes

#: Of the convolutions of Mnih et al. 2015, which torchrl's networks have where nothing is said.
_FILTERS, _KERNELS, _STRIDES = (32, 64, 64), (8, 4, 3), (4, 2, 1)


def _images(channels: int, function: str | None, padding: int = 0) -> nn.Sequential:
    """Return torchrl's ``ConvNet``: convolutions, flattened at the end; `padding` of the last one."""
    layers: list[nn.Module] = []
    sizes = pairwise((channels, *_FILTERS))
    for n, (inputs, outputs) in enumerate(sizes):
        last = padding if n == len(_FILTERS) - 1 else 0
        convolution = nn.Conv2d(inputs, outputs, _KERNELS[n], _STRIDES[n], last)
        layers += [convolution, activation(function)]
    return nn.Sequential(*layers, nn.Flatten())


class AtariDQN(nn.Module):
    """``ConvNet.default_atari_dqn``: a ``ConvNet`` and an ``MLP`` of sizes `layers`, inputs first."""

    heads = ("q",)

    def __init__(self, channels: int, layers: list[int], activation: str | None) -> None:
        super().__init__()
        self.add_module("0", _images(channels, activation))
        self.add_module("1", perceptron(layers, activation))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        return nn.Sequential(*self.children())


class DuelingDQN(nn.Module):
    """``DuelingCnnDQNet`` or, without `channels`, ``DuelingMlpDQNet``.

    `features`, `advantage` and `value` are sizes of layers, inputs first.
    """

    heads = ("q",)

    def __init__(
        self,
        advantage: list[int],
        value: list[int],
        activation: str | None,
        features: list[int] | None = None,
        channels: int = 0,
    ) -> None:
        super().__init__()
        self.features = (
            _images(channels, activation)
            if features is None
            else perceptron(features, activation, ends_in_activation=True)
        )
        self.advantage = perceptron(advantage, activation)
        self.value = perceptron(value, activation)

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        streams = Dueling(self.value, self.advantage, self.advantage[-1].out_features)  # type: ignore[arg-type]
        return nn.Sequential(*([] if self._sees_images else [nn.Flatten()]), self.features, streams)

    @property
    def _sees_images(self) -> bool:
        return isinstance(self.features[0], nn.Conv2d)


class Actor(nn.Module):
    """``DdpgCnnActor`` or, without `channels`, ``DdpgMlpActor``: actions, which are not squashed."""

    heads = ("policy",)
    action_space = "box"

    def __init__(self, layers: list[int], activation: str | None, channels: int = 0) -> None:
        super().__init__()
        if channels:
            self.convnet = _images(channels, activation, padding=1)
        self.mlp = perceptron(layers, activation)

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the actions."""
        return nn.Sequential(getattr(self, "convnet", nn.Flatten()), self.mlp)


class FirstHalf(nn.Module):
    """The means, of outputs (N, 2 * actions) that are means and deviations."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, actions)."""
        return torch.chunk(x, 2, dim=-1)[0]


class GaussianActor(nn.Module):
    """An ``MLP`` and ``NormalParamExtractor`` within a ``ProbabilisticActor``, explained at its means.

    `place_of` is where the ``MLP`` is in the state dict.
    """

    heads = ("policy",)
    action_space = "box"
    left_out: Mapping[str, str] = {"policy": "what the distribution does to a mean"}

    def __init__(self, place_of: str, layers: list[int], activation: str | None) -> None:
        super().__init__()
        self._place = place_of
        place(self, place_of, perceptron(layers, activation))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the means."""
        return nn.Sequential(nn.Flatten(), self.get_submodule(self._place), FirstHalf())


class RecurrentActor(nn.Module):
    """An ``LSTMModule`` or ``GRUModule`` between two perceptrons in a ``TensorDictSequential``.

    Parameters
    ----------
    places
        In the state dict, of the first perceptron (None: there is none), the recurrent layers, the last.
    layers
        Arguments of `lrpdyn.architectures.recurrence.recurrent`.
    first, last
        Sizes of the perceptrons, inputs first.
    """

    def __init__(
        self,
        places: tuple[str | None, str, str],
        layers: Arguments,
        last: list[int],
        activation: str | None,
        first: list[int] | None = None,
    ) -> None:
        super().__init__()
        before, core, after = places
        self._before, self._core, self._after = before, core, after
        if before is not None:
            place(self, before, perceptron(first or [], activation))
        place(self, core, recurrent(**layers))
        place(self, after, perceptron(last, activation))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observations to the outputs."""
        first = [] if self._before is None else [self.get_submodule(self._before)]
        layers = self.get_submodule(self._core)
        assert isinstance(layers, nn.RNNBase)  # __init__ made it
        last, name = self.get_submodule(self._after), self._core.rpartition(".")[2]
        return RecurrentPath(nn.Sequential(nn.Flatten(), *first), layers, last, axes=2, name=name)


def _channels(shapes: Shapes, name: str) -> int | None:
    """Return the channels of a ``ConvNet`` of the sizes above, None where there is none."""
    found = [shapes.get(f"{name}.{2 * n}.weight", ()) for n in range(len(_FILTERS) + 1)]
    if found[-1] or any(len(shape) != 4 for shape in found[:-1]):
        return None
    sizes = [(shape[0], *shape[2:]) for shape in found[:-1]]
    wanted = [(f, k, k) for f, k in zip(_FILTERS, _KERNELS, strict=True)]
    return found[0][1] if sizes == wanted else None


def _function(hints: Mapping[str, Any], default: str, *, usual: bool) -> Arguments:
    """Return the argument `activation`: torchrl's `default` where nothing is said and sizes are `usual`."""
    said = activation_of(hints)
    return {"activation": default} if usual and said.get("activation") is None else said


def _recognise_atari(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    channels, layers = _channels(shapes, "0"), chain_sizes(shapes, "1")
    if channels is None or layers is None:
        return None
    function = _function(hints, "relu", usual=layers[1:-1] == [512])
    return {"channels": channels, "layers": layers, **function}


def _recognise_dueling(
    shapes: Shapes, hints: Mapping[str, Any], *, images: bool
) -> Arguments | None:
    advantage, value = (chain_sizes(shapes, name) for name in ("advantage", "value"))
    features, channels = chain_sizes(shapes, "features"), _channels(shapes, "features")
    if advantage is None or value is None or value[-1] != 1:
        return None
    if (channels if images else features) is None:
        return None
    usual = advantage[1:-1] == value[1:-1] == [512]
    usual = usual and (images or (features or [])[1:] == [256, 256, 256])
    return {
        "advantage": advantage,
        "value": value,
        **({"channels": channels} if images else {"features": features}),
        **_function(hints, "elu", usual=usual),
    }


def _recognise_actor(shapes: Shapes, hints: Mapping[str, Any], *, images: bool) -> Arguments | None:
    layers, channels = chain_sizes(shapes, "mlp"), _channels(shapes, "convnet")
    if layers is None or (channels is not None) != images:
        return None
    usual = layers[1:-1] == ([200, 200] if images else [400, 300])
    if not usual and not images:
        return None  # a perceptron, of anybody
    return {
        "layers": layers,
        **({"channels": channels} if images else {}),
        **_function(hints, "elu", usual=usual),
    }


def _recognise_gaussian(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    pattern = re.compile(r"((?:module\.)?0\.module\.0)\.\d+\.(?:weight|bias)")
    found = {match[1] if (match := pattern.fullmatch(key)) else None for key in shapes}
    name = found.pop() if len(found) == 1 else None
    layers = None if name is None else chain_sizes(shapes, name)
    if name is None or layers is None or layers[-1] % 2:
        return None
    return {"place_of": name, "layers": layers, **activation_of(hints)}


def _recognise_recurrent(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    pattern = re.compile(r"((?:module\.)?)(\d+)\.((?:lstm|gru))\.weight_ih_l0")
    found = [match for key in shapes if (match := pattern.fullmatch(key))]
    if len(found) != 1:
        return None
    start, number, kind = found[0].groups()
    core = f"{start}{number}.{kind}"
    before = [f"{start}{n}.module" for n in range(int(number))]
    before = [name for name in before if chain_sizes(shapes, name)]
    after = f"{start}{int(number) + 1}.module"
    layers, last = recurrent_sizes(shapes, core), chain_sizes(shapes, after)
    if layers is None or last is None or len(before) > 1:
        return None
    first = chain_sizes(shapes, before[0]) if before else None
    return {
        "places": (before[0] if before else None, core, after),
        "layers": layers,
        "last": last,
        **({} if first is None else {"first": first}),
        **activation_of(hints),
    }


def _assumes(
    arguments: Arguments, hints: Mapping[str, Any], *, default: str, more: str
) -> tuple[str, ...]:
    function = [] if "activation" in hints or not default else [default]
    said = ", ".join([*function, more])
    return (f"the network as torchrl builds it: {said} (weights do not tell)",)


_CONVOLVED = f"strides {', '.join(map(str, _STRIDES))}"
_PLAIN = "nothing but the activation between linear layers"
_EXTRACTED = "the first half of the outputs are means (NormalParamExtractor)"

ARCHITECTURES = tuple(
    Architecture(
        name=f"torchrl-{name}",
        factory=factory,
        recognise=recognise,
        source=f"torchrl.modules.{theirs}",
        assumes=partial(_assumes, default=default, more=more),
    )
    for name, factory, recognise, theirs, default, more in (
        ("atari-dqn", AtariDQN, _recognise_atari, "ConvNet.default_atari_dqn", "ReLU", _CONVOLVED),
        (
            "dueling-cnn",
            DuelingDQN,
            partial(_recognise_dueling, images=True),
            "DuelingCnnDQNet",
            "ELU",
            _CONVOLVED,
        ),
        (
            "dueling-mlp",
            DuelingDQN,
            partial(_recognise_dueling, images=False),
            "DuelingMlpDQNet",
            "ELU",
            "",
        ),
        (
            "ddpg-cnn",
            Actor,
            partial(_recognise_actor, images=True),
            "DdpgCnnActor",
            "ELU",
            _CONVOLVED,
        ),
        ("ddpg-mlp", Actor, partial(_recognise_actor, images=False), "DdpgMlpActor", "ELU", _PLAIN),
        ("gaussian", GaussianActor, _recognise_gaussian, "ProbabilisticActor", "", _EXTRACTED),
        ("recurrent", RecurrentActor, _recognise_recurrent, "LSTMModule", "", _PLAIN),
    )
)
