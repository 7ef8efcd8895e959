"""The policies of Stable-Baselines3: actor-critic (PPO, A2C) and DQN, on images or flat inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lrpdyn.architectures.mlp import chain_sizes, perceptron
from lrpdyn.architectures.model import OUTSIDE, Architecture, Arguments, Preprocessing
from lrpdyn.architectures.nature_cnn import channels_of, convolutions
from lrpdyn.checkpoints.model import Shapes

_SOURCE = "stable_baselines3.common.policies, stable_baselines3.dqn.policies"
#: Stable-Baselines3 divides images by 255 and nothing else.
_FLAT = Preprocessing(1.0)


class _Extractor(nn.Module):
    """Stable-Baselines3's NatureCNN: ``cnn`` and ``linear``."""

    def __init__(self, channels: int, convolved: int, features: int) -> None:
        super().__init__()
        self.cnn = nn.Sequential(*convolutions(channels))
        self.linear = nn.Sequential(nn.Linear(convolved, features), nn.ReLU())


class ActorCritic(nn.Module):
    """ActorCriticPolicy: extractors, optional ``mlp_extractor``, ``action_net``, ``value_net``.

    Parameters
    ----------
    extractors
        The names of the feature extractors in the state dict; none for flat observations.
    channels, convolved
        Input channels, and the number of entries after the convolutions, of a NatureCNN.
    features
        The number of features that the extractor gives.
    shared, policy, value
        Sizes of the layers of ``mlp_extractor``, inputs first; empty where there are none.
    """

    heads = ("policy", "value")

    def __init__(
        self,
        actions: int,
        features: int,
        activation: str = "tanh",
        extractors: tuple[str, ...] = (),
        channels: int = 0,
        convolved: int = 0,
        shared: tuple[int, ...] = (),
        policy: tuple[int, ...] = (),
        value: tuple[int, ...] = (),
        log_std: bool = False,
    ) -> None:
        super().__init__()
        for name in extractors:
            self.add_module(name, _Extractor(channels, convolved, features))
        layers = {"shared_net": shared, "policy_net": policy, "value_net": value}
        if any(layers.values()):
            self.mlp_extractor = nn.Module()
            for name, sizes in layers.items():
                chain = perceptron(list(sizes), activation, ends_in_activation=True)
                self.mlp_extractor.add_module(name, chain)
        base = shared[-1] if shared else features
        self.action_net = nn.Linear(policy[-1] if policy else base, actions)
        self.value_net = nn.Linear(value[-1] if value else base, 1)
        if log_std:
            self.log_std = nn.Parameter(torch.zeros(actions))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the outputs of `head`."""
        own = {"policy": "pi", "value": "vf"}[head] + "_features_extractor"
        extractor = getattr(self, own, getattr(self, "features_extractor", None))
        layers = [nn.Flatten()] if extractor is None else [extractor.cnn, extractor.linear]
        if hasattr(self, "mlp_extractor"):
            chains = (self.mlp_extractor.shared_net, getattr(self.mlp_extractor, f"{head}_net"))
            layers += [chain for chain in chains if isinstance(chain, nn.Sequential)]
        return nn.Sequential(*layers, self.action_net if head == "policy" else self.value_net)


class _QNetwork(nn.Module):
    def __init__(self, layers: list[int], activation: str, channels: int, convolved: int) -> None:
        super().__init__()
        if channels:
            self.features_extractor = _Extractor(channels, convolved, layers[0])
        self.q_net = perceptron(layers, activation)


class DQN(nn.Module):
    """DQNPolicy: ``q_net`` and its target network."""

    heads = ("q",)

    def __init__(
        self, layers: list[int], activation: str = "relu", channels: int = 0, convolved: int = 0
    ) -> None:
        super().__init__()
        self.q_net = _QNetwork(layers, activation, channels, convolved)
        self.q_net_target = _QNetwork(layers, activation, channels, convolved)

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        extractor = getattr(self.q_net, "features_extractor", None)
        layers = [nn.Flatten()] if extractor is None else [extractor.cnn, extractor.linear]
        return nn.Sequential(*layers, self.q_net.q_net)


@dataclass(frozen=True)
class _Features:
    """The arguments of an extractor, and how many features it gives."""

    arguments: Arguments
    features: int | None


def _features(shapes: Shapes, extractor: str) -> _Features:
    channels = channels_of(shapes, f"{extractor}.cnn.0")
    linear = shapes.get(f"{extractor}.linear.0.weight")
    if channels is None or linear is None:
        return _Features({}, None)
    return _Features({"channels": channels, "convolved": linear[1]}, linear[0])


def _activation(hints: Mapping[str, Any]) -> Arguments:
    return {"activation": hints["activation"].lower()} if "activation" in hints else {}


def _recognise_actor_critic(
    shapes: Shapes, hints: Mapping[str, Any], *, images: bool
) -> Arguments | None:
    if "action_net.weight" not in shapes or "value_net.weight" not in shapes:
        return None
    found = _features(shapes, "features_extractor")
    if (found.features is not None) != images:
        return None
    actions, inputs = shapes["action_net.weight"]
    chains = {
        name: chain_sizes(shapes, f"mlp_extractor.{name}_net") or []
        for name in ("shared", "policy", "value")
    }
    starts = [sizes[0] for sizes in chains.values() if sizes]
    features = found.features if found.features is not None else (starts or [inputs])[0]
    names = ("features_extractor", "pi_features_extractor", "vf_features_extractor")
    extractors = [name for name in names if f"{name}.linear.0.weight" in shapes]
    return {
        "actions": actions,
        "features": features,
        **_activation(hints),
        **({"extractors": extractors, **found.arguments} if images else {}),
        **{name: sizes for name, sizes in chains.items() if sizes},
        **({"log_std": True} if "log_std" in shapes else {}),
    }


def _recognise_dqn(shapes: Shapes, hints: Mapping[str, Any], *, images: bool) -> Arguments | None:
    layers = chain_sizes(shapes, "q_net.q_net")
    found = _features(shapes, "q_net.features_extractor")
    if layers is None or (found.features is not None) != images:
        return None
    return {"layers": layers, **_activation(hints), **found.arguments}


ARCHITECTURES = (
    Architecture(
        "sb3-cnn",
        ActorCritic,
        lambda shapes, hints: _recognise_actor_critic(shapes, hints, images=True),
        OUTSIDE,
        _SOURCE,
    ),
    Architecture(
        "sb3-mlp",
        ActorCritic,
        lambda shapes, hints: _recognise_actor_critic(shapes, hints, images=False),
        _FLAT,
        _SOURCE,
    ),
    Architecture(
        "sb3-dqn-cnn",
        DQN,
        lambda shapes, hints: _recognise_dqn(shapes, hints, images=True),
        OUTSIDE,
        _SOURCE,
    ),
    Architecture(
        "sb3-dqn-mlp",
        DQN,
        lambda shapes, hints: _recognise_dqn(shapes, hints, images=False),
        _FLAT,
        _SOURCE,
    ),
)
