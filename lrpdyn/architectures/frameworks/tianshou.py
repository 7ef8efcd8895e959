"""Tianshou's Atari networks, alone or within a policy or an algorithm (``model``, ``model_old``).

Whether pixels are divided by 255 is a matter of the environment there, and not known from the
weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from lrpdyn.architectures.mlp import perceptron
from lrpdyn.architectures.model import Architecture, Arguments
from lrpdyn.architectures.nature_cnn import convolutions, q_arguments
from lrpdyn.architectures.noisy import FactorisedNoisyLinear
from lrpdyn.architectures.outputs import AtomMean, Dueling, QuantileMean
from lrpdyn.architectures.places import place, place_buffer
from lrpdyn.checkpoints.model import Shapes
from lrpdyn.errors import ArchitectureError

_ATARI_ACTIONS = 18


class _Copies(nn.Module):
    """The same network at several `places` of the state dict; the first is explained."""

    heads: tuple[str, ...] = ("q",)

    def __init__(self, places: list[str], make: Callable[[], nn.Module]) -> None:
        super().__init__()
        for name in places:
            place(self, name, make())
        self._explained = places[0]

    def _part(self, name: str) -> nn.Module:
        """Return a part of the network that is explained."""
        return self.get_submodule(f"{self._explained}.{name}".removeprefix("."))

    def _add_support(self, key: str | None, atoms: int, v_min: float, v_max: float) -> None:
        """Have the atoms among the weights under `key`, or else evenly spaced and no weights."""
        values = torch.linspace(v_min, v_max, atoms)
        self._support = "own_support" if key is None else key
        place_buffer(self, self._support, values, persistent=key is not None)


def dqn_net(channels: int, convolved: int, *sizes: int) -> nn.Module:
    """Return ``DQNet``: ``net``, of which ``net.0`` are the convolutions."""
    network = nn.Module()
    layers = list(perceptron([convolved, *sizes], "relu", ends_in_activation=len(sizes) == 1))
    network.net = nn.Sequential(nn.Sequential(*convolutions(channels)), *layers)
    return network


class DQN(_Copies):
    """``DQNet``."""

    def __init__(
        self, places: list[str], channels: int, convolved: int, features: int, actions: int
    ) -> None:
        super().__init__(places, lambda: dqn_net(channels, convolved, features, actions))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        return nn.Sequential(self._part("net"))


class C51(_Copies):
    """``C51Net``; `support` is the key of its atoms, where the policy was saved with it."""

    def __init__(
        self,
        places: list[str],
        channels: int,
        convolved: int,
        features: int,
        actions: int,
        num_atoms: int,
        support: str | None = None,
        v_min: float = -10.0,
        v_max: float = 10.0,
    ) -> None:
        super().__init__(
            places, lambda: dqn_net(channels, convolved, features, actions * num_atoms)
        )
        self._add_support(support, num_atoms, v_min, v_max)
        self._actions = actions

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        return nn.Sequential(
            self._part("net"), AtomMean(self._actions, self.get_buffer(self._support))
        )


class QRDQN(_Copies):
    """``QRDQNet``; `fractions` is the key of ``tau_hat``, where it was saved."""

    def __init__(
        self,
        places: list[str],
        channels: int,
        convolved: int,
        features: int,
        actions: int,
        num_quantiles: int,
        fractions: str | None = None,
    ) -> None:
        outputs = actions * num_quantiles
        super().__init__(places, lambda: dqn_net(channels, convolved, features, outputs))
        if fractions is not None:
            place_buffer(self, fractions, torch.zeros(1, num_quantiles, 1))
        self._shape = (actions, num_quantiles)

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values, means over the quantiles."""
        return nn.Sequential(self._part("net"), QuantileMean(self._shape, 2))


class Rainbow(_Copies):
    """``RainbowNet``: streams ``Q`` (advantage) and, where it is dueling, ``V``."""

    def __init__(
        self,
        places: list[str],
        channels: int,
        convolved: int,
        features: int,
        actions: int,
        num_atoms: int,
        dueling: bool = True,
        noisy: bool = True,
        support: str | None = None,
        v_min: float = -10.0,
        v_max: float = 10.0,
    ) -> None:
        linear = FactorisedNoisyLinear if noisy else nn.Linear

        def stream(outputs: int) -> nn.Sequential:
            return nn.Sequential(linear(convolved, features), nn.ReLU(), linear(features, outputs))

        def network() -> nn.Module:
            made = nn.Module()
            made.net = nn.Sequential(*convolutions(channels))
            made.Q = stream(actions * num_atoms)
            if dueling:
                made.V = stream(num_atoms)
            return made

        super().__init__(places, network)
        self._add_support(support, num_atoms, v_min, v_max)
        self._actions, self._atoms, self._dueling = actions, num_atoms, dueling

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        last = self._part("Q")
        if self._dueling:
            last = Dueling(self._part("V"), last, self._actions, self._atoms)
        mean = AtomMean(self._actions, self.get_buffer(self._support))
        return nn.Sequential(self._part("net"), last, mean)


def places_of(shapes: Shapes, layer: str) -> list[str]:
    """Return where in the state dict there is a network with this `layer`, copies of it last."""
    pattern = re.compile(r"(?:(.+)\.)?" + re.escape(layer) + r"\.weight")
    found = [match[1] or "" for key in shapes if (match := pattern.fullmatch(key))]
    return sorted(found, key=lambda name: "old" in name)


def _start(places: list[str]) -> str:
    """Return how the keys of the network begin that is explained."""
    return f"{places[0]}." if places and places[0] else ""


def _key(shapes: Shapes, name: str) -> str | None:
    return next((key for key in shapes if key.rpartition(".")[2] == name), None)


def _given(hints: Mapping[str, Any], name: str) -> int | None:
    value = hints.get(name)
    return value if isinstance(value, int) and value > 0 else None


def _dqn_arguments(shapes: Shapes) -> Arguments | None:
    """Return the arguments of a ``DQNet`` all of whose outputs are actions."""
    places = places_of(shapes, "net.0.0")
    layers = (f"{_start(places)}net.{name}" for name in ("0.0", "1", "3"))
    found = q_arguments(shapes, *layers)
    return None if found is None else {"places": places, **found}


def _recognise_dqn(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    found = _dqn_arguments(shapes)
    keys = (_key(shapes, "support"), _key(shapes, "tau_hat"))
    others = (*keys, _given(hints, "num_atoms"), _given(hints, "num_quantiles"))
    if found is None or any(other is not None for other in others):
        return None
    outputs = found["actions"]
    if outputs > _ATARI_ACTIONS and hints.get("actions") != outputs:
        raise ArchitectureError(
            f"Tianshou's DQNet with {outputs} outputs, more than Atari has actions: the weights do not "
            "tell a distribution from Q values; say --arch-arg num_atoms=N (C51), --arch-arg "
            f"num_quantiles=N (QR-DQN), or --arch-arg actions={outputs} (DQN)"
        )
    return found


def _support(shapes: Shapes) -> Arguments:
    key = _key(shapes, "support")
    return {"v_min": -10.0, "v_max": 10.0} if key is None else {"support": key}


def _recognise_c51(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    found, key = _dqn_arguments(shapes), _key(shapes, "support")
    atoms = _given(hints, "num_atoms") if key is None else shapes[key][0]
    if found is None or not atoms:
        return None
    actions = found["actions"] // atoms
    return {**found, "actions": actions, "num_atoms": atoms, **_support(shapes)}


def _recognise_qrdqn(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    found, key = _dqn_arguments(shapes), _key(shapes, "tau_hat")
    quantiles = _given(hints, "num_quantiles") if key is None else shapes[key][1]
    if found is None or not quantiles:
        return None
    known = {} if key is None else {"fractions": key}
    actions = found["actions"] // quantiles
    return {**found, "actions": actions, "num_quantiles": quantiles, **known}


def _recognise_rainbow(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    places = places_of(shapes, "net.0")
    start = _start(places)
    noisy = f"{start}Q.0.mu_W" in shapes
    weight = "mu_W" if noisy else "weight"
    layers = (f"{start}{name}" for name in ("net.0", "Q.0", "Q.2"))
    found = q_arguments(shapes, *layers, weight=weight)
    value, support = shapes.get(f"{start}V.2.{weight}"), _key(shapes, "support")
    atoms = (value or shapes.get(support or "", ()) or (_given(hints, "num_atoms"),))[0]
    if found is None or not atoms:
        return None
    return {
        "places": places,
        **found,
        "actions": found["actions"] // atoms,
        "num_atoms": atoms,
        "dueling": value is not None,
        "noisy": noisy,
        **_support(shapes),
    }


def as_built(arguments: Arguments, hints: Mapping[str, Any], *, network: str) -> tuple[str, ...]:
    """Say what is assumed of a `network` of Tianshou: its ReLU, and atoms that were not saved."""
    ends = [arguments[end] for end in ("v_min", "v_max") if end in arguments]
    atoms = f", atoms from {ends[0]:g} to {ends[1]:g}" if ends else ""
    return (f"{network} as Tianshou builds it: ReLU{atoms} (weights do not tell)",)


ARCHITECTURES = tuple(
    Architecture(
        name=f"tianshou-{name}",
        factory=factory,
        recognise=recognise,
        source=f"tianshou.env.atari.atari_network.{theirs}",
        assumes=partial(as_built, network=theirs),
    )
    for name, factory, recognise, theirs in (
        ("dqn", DQN, _recognise_dqn, "DQNet"),
        ("c51", C51, _recognise_c51, "C51Net"),
        ("qrdqn", QRDQN, _recognise_qrdqn, "QRDQNet"),
        ("rainbow", Rainbow, _recognise_rainbow, "RainbowNet"),
    )
)
