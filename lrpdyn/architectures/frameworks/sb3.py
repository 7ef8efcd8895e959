"""The policies of Stable-Baselines3: actor-critic (PPO, A2C) and DQN, on images or flat inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.architectures.mlp import chain_sizes, perceptron
from lrpdyn.architectures.model import OUTSIDE, Architecture, Arguments, Preprocessing
from lrpdyn.architectures.nature_cnn import channels_of, convolutions
from lrpdyn.architectures.orthogonal import orthogonal
from lrpdyn.checkpoints.model import Shapes

_SOURCE = "stable_baselines3.common.policies, stable_baselines3.dqn.policies"
#: Stable-Baselines3 divides images by 255 and nothing else.
FLAT = Preprocessing(1.0)
EXTRACTORS = ("features_extractor", "pi_features_extractor", "vf_features_extractor")


class Extractor(nn.Module):
    """Stable-Baselines3's NatureCNN: ``cnn`` and ``linear``."""

    def __init__(self, channels: int, convolved: int, features: int) -> None:
        super().__init__()
        self.cnn = nn.Sequential(*convolutions(channels))
        self.linear = nn.Sequential(nn.Linear(convolved, features), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (N, features) of images (N, C, H, W)."""
        return self.linear(self.cnn(x))  # type: ignore[no-any-return]


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
            self.add_module(name, Extractor(channels, convolved, features))
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

    def initialise(self) -> None:
        """Begin as Stable-Baselines3 does (``ortho_init``), whose extractors are one by default."""
        names = [name for name in EXTRACTORS if hasattr(self, name)]
        orthogonal(self, {"action_net": 0.01, "value_net": 1.0}, without=names[1:])
        for name in names[1:]:
            self.get_submodule(name).load_state_dict(self.get_submodule(names[0]).state_dict())

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the outputs of `head`."""
        extractor = self.extractor(head)
        first = [nn.Flatten()] if extractor is None else [extractor.cnn, extractor.linear]
        return nn.Sequential(*first, *self.after_features(head))

    def extractor(self, head: str) -> nn.Module | None:
        """Return the feature extractor of `head`, None where observations are flat."""
        own = {"policy": "pi", "value": "vf"}[head] + "_features_extractor"
        found: nn.Module | None = getattr(self, own, getattr(self, "features_extractor", None))
        return found

    def after_features(self, head: str) -> list[nn.Module]:
        """Return the layers from the features to the outputs of `head`."""
        layers: list[nn.Module] = []
        if hasattr(self, "mlp_extractor"):
            chains = (self.mlp_extractor.shared_net, getattr(self.mlp_extractor, f"{head}_net"))
            layers += [chain for chain in chains if isinstance(chain, nn.Sequential)]
        return [*layers, self.action_net if head == "policy" else self.value_net]


class ValueNetwork(nn.Module):
    """``features_extractor``, for images, and a perceptron called `name` as the network itself."""

    def __init__(
        self, name: str, layers: list[int], activation: str, channels: int, convolved: int
    ) -> None:
        super().__init__()
        if channels:
            self.features_extractor = Extractor(channels, convolved, layers[0])
        self.add_module(name, perceptron(layers, activation))

    def path(self, name: str) -> list[nn.Module]:
        """Return the layers from the observation to the outputs."""
        extractor = getattr(self, "features_extractor", None)
        layers = [nn.Flatten()] if extractor is None else [extractor.cnn, extractor.linear]
        return [*layers, self.get_submodule(name)]


class DQN(nn.Module):
    """DQNPolicy: ``q_net`` and its target network."""

    heads = ("q",)

    def __init__(
        self, layers: list[int], activation: str = "relu", channels: int = 0, convolved: int = 0
    ) -> None:
        super().__init__()
        self.q_net = ValueNetwork("q_net", layers, activation, channels, convolved)
        self.q_net_target = ValueNetwork("q_net", layers, activation, channels, convolved)

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        return nn.Sequential(*self.q_net.path("q_net"))


@dataclass(frozen=True)
class Features:
    """The arguments of an extractor, and how many features it gives."""

    arguments: Arguments
    features: int | None


def features_of(shapes: Shapes, extractor: str) -> Features:
    """Return what the weights tell of the NatureCNN called `extractor`."""
    channels = channels_of(shapes, f"{extractor}.cnn.0")
    linear = shapes.get(f"{extractor}.linear.0.weight")
    if channels is None or linear is None:
        return Features({}, None)
    return Features({"channels": channels, "convolved": linear[1]}, linear[0])


def has_other_extractor(shapes: Shapes, found: Features) -> bool:
    """Tell whether there is a feature extractor with weights that is no NatureCNN."""
    return found.features is None and any("features_extractor." in key for key in shapes)


def activation_of(hints: Mapping[str, Any]) -> Arguments:
    """Return the activation as an argument, where the file tells it."""
    return {"activation": hints["activation"].lower()} if "activation" in hints else {}


def _recognise_actor_critic(
    shapes: Shapes, hints: Mapping[str, Any], *, images: bool
) -> Arguments | None:
    if "action_net.weight" not in shapes or "value_net.weight" not in shapes:
        return None
    found = features_of(shapes, "features_extractor")
    if (found.features is not None) != images or has_other_extractor(shapes, found):
        return None
    extractors = [name for name in EXTRACTORS if f"{name}.linear.0.weight" in shapes]
    return {
        **layer_arguments(shapes, hints),
        **({"extractors": extractors, **found.arguments} if images else {}),
    }


def layer_arguments(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments:
    """Return the arguments for what follows the features of an actor-critic policy."""
    actions, inputs = shapes["action_net.weight"]
    chains = {
        name: chain_sizes(shapes, f"mlp_extractor.{name}_net") or []
        for name in ("shared", "policy", "value")
    }
    starts = [sizes[0] for sizes in chains.values() if sizes]
    return {
        "actions": actions,
        "features": (starts or [inputs])[0],
        **activation_of(hints),
        **{name: sizes for name, sizes in chains.items() if sizes},
        **({"log_std": True} if "log_std" in shapes else {}),
    }


def _recognise_dqn(shapes: Shapes, hints: Mapping[str, Any], *, images: bool) -> Arguments | None:
    layers = chain_sizes(shapes, "q_net.q_net")
    found = features_of(shapes, "q_net.features_extractor")
    if layers is None or (found.features is not None) != images:
        return None
    if has_other_extractor(shapes, found):
        return None
    return {"layers": layers, **activation_of(hints), **found.arguments}


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
        FLAT,
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
        FLAT,
        _SOURCE,
    ),
)
