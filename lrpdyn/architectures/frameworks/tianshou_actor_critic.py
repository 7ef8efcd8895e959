"""Tianshou's actor-critic networks for Atari, on the features of a ``DQNet``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from lrpdyn.architectures.frameworks.cleanrl import DivideBy255
from lrpdyn.architectures.frameworks.tianshou import dqn_net, places_of
from lrpdyn.architectures.mlp import chain_sizes, perceptron
from lrpdyn.architectures.model import INSIDE, UNKNOWN, Architecture, Arguments
from lrpdyn.architectures.nature_cnn import channels_of
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
        inner = "preprocess.module" if scaled else "preprocess"
        for name in [*actors, *critics]:
            place(self, f"{name}.{inner}", dqn_net(channels, convolved, features))
            sizes = (policy if name in actors else value) or []
            place(self, f"{name}.last.model", perceptron(sizes, "relu"))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the outputs of `head`."""
        name, inner = self._first[head], "preprocess.module" if self._scaled else "preprocess"
        layers = [self.get_submodule(f"{name}.{part}") for part in (f"{inner}.net", "last.model")]
        return nn.Sequential(*([DivideBy255()] if self._scaled else []), *layers)


def _recognise_actor_critic(
    shapes: Shapes, hints: Mapping[str, Any], *, scaled: bool
) -> Arguments | None:
    inner = "preprocess.module" if scaled else "preprocess"
    places = places_of(shapes, f"{inner}.net.0.0")
    actors = [name for name in places if name.endswith("actor")]
    critics = [name for name in places if name.endswith("critic")]
    if not actors:
        return None
    channels = channels_of(shapes, f"{actors[0]}.{inner}.net.0.0")
    linear = shapes.get(f"{actors[0]}.{inner}.net.1.weight")
    policy, value = (
        chain_sizes(shapes, f"{names[0]}.last.model") if names else None
        for names in (actors, critics)
    )
    if channels is None or linear is None or policy is None or (critics and value is None):
        return None
    return {
        "actors": actors,
        "critics": critics,
        "channels": channels,
        "convolved": linear[1],
        "features": linear[0],
        "policy": policy,
        **({} if value is None else {"value": value}),
        "scaled": scaled,
    }


ARCHITECTURES = (
    Architecture(
        "tianshou-ppo",
        ActorCritic,
        lambda shapes, hints: _recognise_actor_critic(shapes, hints, scaled=True),
        INSIDE,
        f"{_SOURCE} on scaled observations",
    ),
    Architecture(
        "tianshou-ppo-unscaled",
        ActorCritic,
        lambda shapes, hints: _recognise_actor_critic(shapes, hints, scaled=False),
        UNKNOWN,
        _SOURCE,
    ),
)
