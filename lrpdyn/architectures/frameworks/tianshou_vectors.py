"""Tianshou's networks for flat observations: ``Net`` alone or in an actor, and those with an LSTM."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from lrpdyn.architectures.frameworks.tianshou import places_of
from lrpdyn.architectures.mlp import activation_of, chain_sizes, perceptron
from lrpdyn.architectures.model import Architecture, Arguments, always
from lrpdyn.architectures.outputs import Dueling
from lrpdyn.architectures.places import place
from lrpdyn.architectures.recurrence import RecurrentPath, recurrent, recurrent_sizes
from lrpdyn.checkpoints.model import Shapes

#: Critics, and copies of them, take no part in what an actor does.
_CRITICS = r"(?:.*\.)?critic\d?(?:_old)?\."
_SQUASHED = "the tanh that squashes a mean, and the action's range"


class _Parts(nn.Module):
    """A network at several `places` of the state dict, copies last; the first is explained."""

    heads: tuple[str, ...] = ("q",)

    def __init__(self, places: list[str]) -> None:
        super().__init__()
        self._places = places

    def _place(self, name: str, module: Any) -> None:
        """Have what `module()` gives under `name` at each place."""
        for start in self._places:
            place(self, f"{start}.{name}".removeprefix("."), module())

    def _part(self, name: str) -> nn.Module:
        return self.get_submodule(f"{self._places[0]}.{name}".removeprefix("."))


class DQN(_Parts):
    """``Net`` as a network of Q values, with `dueling` ``Q`` and ``V``; sizes are inputs first."""

    def __init__(
        self,
        places: list[str],
        layers: list[int],
        activation: str | None,
        dueling: dict[str, list[int]] | None = None,
    ) -> None:
        super().__init__(places)
        ends = dueling is not None
        self._place("model.model", lambda: perceptron(layers, activation, ends_in_activation=ends))
        self._dueling = dueling or {}
        for name, sizes in self._dueling.items():
            self._place(f"{name}.model", partial(perceptron, sizes, activation))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        last: list[nn.Module] = []
        if self._dueling:
            streams = self._part("V.model"), self._part("Q.model")
            last = [Dueling(*streams, self._dueling["Q"][-1])]
        return nn.Sequential(nn.Flatten(), self._part("model.model"), *last)


class Actor(_Parts):
    """``DiscreteActor`` (`last` is ``last``) or an actor of means (``mu``) on a ``Net`` of features.

    `sigma` are the sizes of what gives the deviations, or their number where they are parameters.
    """

    heads = ("policy",)

    def __init__(
        self,
        places: list[str],
        layers: list[int],
        outputs: list[int],
        last: str,
        activation: str | None,
        sigma: list[int] | int | None = None,
    ) -> None:
        super().__init__(places)
        if last == "mu":  # those of ``last`` may be of DDPG, which are means, or logits
            self.action_space = "box"
            self.left_out = {"policy": _SQUASHED}
        self._last = f"{last}.model"
        features = partial(perceptron, layers, activation, ends_in_activation=True)
        self._place("preprocess.model.model", features)
        self._place(self._last, partial(perceptron, outputs, "relu"))
        if isinstance(sigma, list):
            self._place("sigma.model", partial(perceptron, sigma, "relu"))
        elif sigma is not None:
            for start in places:
                actor = self.get_submodule(start)
                actor.sigma_param = nn.Parameter(torch.zeros(sigma, 1))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the outputs."""
        parts = ("preprocess.model.model", self._last)
        return nn.Sequential(nn.Flatten(), *(self._part(name) for name in parts))


class Recurrent(_Parts):
    """``Recurrent``, Q values: ``fc1``, ``nn`` and ``fc2``; `layers` are those of the LSTM."""

    def __init__(self, places: list[str], features: int, layers: Arguments, actions: int) -> None:
        super().__init__(places)
        self._place("fc1", lambda: nn.Linear(features, layers["inputs"]))
        self._place("nn", lambda: recurrent(**layers))
        self._place("fc2", lambda: nn.Linear(layers["hidden"], actions))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observations to the Q values."""
        core = self._part("nn")
        assert isinstance(core, nn.RNNBase)  # __init__ made it
        first = nn.Sequential(nn.Flatten(), self._part("fc1"))
        return RecurrentPath(first, core, self._part("fc2"), axes=2, name="lstm")


def _recognise_dqn(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    places = [place for place in places_of(shapes, "model.model.0") if "preprocess" not in place]
    start = f"{places[0]}." if places and places[0] else ""
    layers = chain_sizes(shapes, f"{start}model.model") if places else None
    streams = {name: chain_sizes(shapes, f"{start}{name}.model") for name in ("Q", "V")}
    if layers is None:
        return None
    dueling = {"dueling": streams} if all(streams.values()) else {}
    return {"places": places, "layers": layers, **activation_of(hints), **dueling}


def _recognise_actor(shapes: Shapes, hints: Mapping[str, Any], *, last: str) -> Arguments | None:
    found = places_of(shapes, "preprocess.model.model.0")
    places = [name for name in found if name.rpartition(".")[2] in ("actor", "actor_old", "")]
    start = f"{places[0]}." if places and places[0] else ""
    layers = chain_sizes(shapes, f"{start}preprocess.model.model") if places else None
    outputs = chain_sizes(shapes, f"{start}{last}.model")
    if layers is None or outputs is None:
        return None
    sigma: Any = chain_sizes(shapes, f"{start}sigma.model")
    sigma = sigma or shapes.get(f"{start}sigma_param", (None,))[0]
    return {
        "places": places,
        "layers": layers,
        "outputs": outputs,
        "last": last,
        **({} if sigma is None else {"sigma": sigma}),
        **activation_of(hints),
    }


def _recognise_recurrent(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    places = [name for name in places_of(shapes, "fc2") if "critic" not in name]
    start = f"{places[0]}." if places and places[0] else ""
    layers = recurrent_sizes(shapes, f"{start}nn") if places else None
    if layers is None:
        return None
    features, actions = shapes[f"{start}fc1.weight"][1], shapes[f"{start}fc2.weight"][0]
    return {"places": places, "layers": layers, "features": features, "actions": actions}


ARCHITECTURES = tuple(
    Architecture(
        name=f"tianshou-{name}",
        factory=factory,
        recognise=recognise,
        source=f"tianshou.utils.net.{theirs}",
        assumes=always(
            f"{theirs.rpartition('.')[2]} as Tianshou builds it: no normalisation, ReLU in perceptrons "
            "behind the features (weights do not tell)"
        ),
        unused=unused,
    )
    for name, factory, recognise, theirs, unused in (
        ("net", DQN, _recognise_dqn, "common.Net", ""),
        (
            "actor", Actor, partial(_recognise_actor, last="last"), "discrete.DiscreteActor",
            _CRITICS,
        ),
        (
            "actor-means", Actor, partial(_recognise_actor, last="mu"),
            "continuous.ContinuousActorProbabilistic", _CRITICS,
        ),
        ("recurrent", Recurrent, _recognise_recurrent, "common.Recurrent", ""),
    )
)  # fmt: skip
