"""Tianshou's actor-critic networks for Atari, on the features of a ``DQNet``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from lrpdyn.architectures.frameworks.cleanrl import DivideBy255
from lrpdyn.architectures.frameworks.tianshou import as_built, dqn_net, places_of
from lrpdyn.architectures.mlp import chain_sizes, perceptron
from lrpdyn.architectures.model import INSIDE, Architecture, Arguments
from lrpdyn.architectures.nature_cnn import features_of
from lrpdyn.architectures.places import place
from lrpdyn.checkpoints.model import Shapes

_SOURCE = "tianshou.utils.net.discrete.DiscreteActor"


class ActorCritic(nn.Module):
    """``DiscreteActor`` and ``DiscreteCritic`` on a ``DQNet`` of features.

    Parameters
    ----------
    actors, critics
        Their places in the state dict, copies included; the first of each is explained.
    channels, convolved, features
        Of the ``DQNet``.
    policy, value
        Sizes of the layers after it, inputs first.
    scaled
        The network divides pixels by 255 itself.
    """

    heads: tuple[str, ...] = ("policy", "value")

    def __init__(
        self,
        actors: list[str],
        critics: list[str],
        channels: int,
        convolved: int,
        features: int,
        policy: list[int],
        value: list[int] | None = None,
        scaled: bool = True,
    ) -> None:
        super().__init__()
        self._first = {"policy": actors[0]} | ({"value": critics[0]} if critics else {})
        self.heads, self._scaled = tuple(self._first), scaled
        for name in [*actors, *critics]:
            place(self, f"{name}.{_preprocess(scaled)}", dqn_net(channels, convolved, features))
            sizes = (policy if name in actors else value) or []
            place(self, f"{name}.last.model", perceptron(sizes, "relu"))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the outputs of `head`."""
        parts = (f"{_preprocess(self._scaled)}.net", "last.model")
        layers = [self.get_submodule(f"{self._first[head]}.{part}") for part in parts]
        return nn.Sequential(*([DivideBy255()] if self._scaled else []), *layers)


def _preprocess(scaled: bool) -> str:
    """Return where in an actor or critic its ``DQNet`` is."""
    return "preprocess.module" if scaled else "preprocess"


def _recognise_actor_critic(
    shapes: Shapes, hints: Mapping[str, Any], *, scaled: bool
) -> Arguments | None:
    inner = _preprocess(scaled)
    places = places_of(shapes, f"{inner}.net.0.0")
    actors = [name for name in places if name.endswith("actor")]
    critics = [name for name in places if name.endswith("critic")]
    if not actors:
        return None
    network = f"{actors[0]}.{inner}.net"
    found = features_of(shapes, f"{network}.0.0", f"{network}.1")
    policy, value = (
        chain_sizes(shapes, f"{names[0]}.last.model") if names else None
        for names in (actors, critics)
    )
    if found is None or policy is None or (critics and value is None):
        return None
    return {
        "actors": actors,
        "critics": critics,
        **found,
        "policy": policy,
        **({} if value is None else {"value": value}),
        "scaled": scaled,
    }


ARCHITECTURES = (
    Architecture(
        name="tianshou-ppo",
        factory=ActorCritic,
        recognise=partial(_recognise_actor_critic, scaled=True),
        preprocessing=INSIDE,
        source=f"{_SOURCE} on scaled observations",
        assumes=partial(as_built, network="DiscreteActor on DQNet, pixels divided by 255 inside,"),
    ),
    Architecture(
        name="tianshou-ppo-unscaled",
        factory=ActorCritic,
        recognise=partial(_recognise_actor_critic, scaled=False),
        source=_SOURCE,
        assumes=partial(as_built, network="DiscreteActor on DQNet"),
    ),
)
