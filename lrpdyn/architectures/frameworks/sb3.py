"""The policies of Stable-Baselines3: actor-critic (PPO, A2C) and DQN, on images or flat inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.architectures.mlp import activation_of, chain_sizes, perceptron
from lrpdyn.architectures.model import OUTSIDE, Architecture, Arguments, Preprocessing
from lrpdyn.architectures.nature_cnn import convolutions, features_of
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
    activation
        Of ``mlp_extractor``; None where it is not known and has to be said.
    shared, policy, value
        Sizes of the layers of ``mlp_extractor``, inputs first; empty where there are none.
    log_std
        Whether there are deviations, one for each mean; their shape where they depend on the state
        (gSDE). The means do not use them.
    """

    heads = ("policy", "value")

    def __init__(
        self,
        actions: int,
        features: int,
        activation: str | None = "tanh",
        extractors: tuple[str, ...] = (),
        channels: int = 0,
        convolved: int = 0,
        shared: tuple[int, ...] = (),
        policy: tuple[int, ...] = (),
        value: tuple[int, ...] = (),
        log_std: bool | tuple[int, ...] = False,
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
            self.action_space = "box"
            size = (actions,) if isinstance(log_std, bool) else tuple(log_std)
            self.log_std = nn.Parameter(torch.zeros(size))

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
        self, name: str, layers: list[int], activation: str | None, channels: int, convolved: int
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
        self,
        layers: list[int],
        activation: str | None = "relu",
        channels: int = 0,
        convolved: int = 0,
    ) -> None:
        super().__init__()
        self.q_net = ValueNetwork("q_net", layers, activation, channels, convolved)
        self.q_net_target = ValueNetwork("q_net", layers, activation, channels, convolved)

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        return nn.Sequential(*self.q_net.path("q_net"))


def extractor_of(shapes: Shapes, extractor: str) -> Arguments | None:
    """Return the arguments of the NatureCNN called `extractor`, None where there is none."""
    return features_of(shapes, f"{extractor}.cnn.0", f"{extractor}.linear.0")


def convolved_of(shapes: Shapes, extractor: str, *, images: bool) -> Arguments | None:
    """Return the arguments ``channels`` and ``convolved`` for `images`, else none.

    None where the weights are of the other kind, or of an extractor that is no NatureCNN.
    """
    if not images:
        return None if any("features_extractor." in key for key in shapes) else {}
    found = extractor_of(shapes, extractor)
    return found and {name: found[name] for name in ("channels", "convolved")}


def _recognise_actor_critic(
    shapes: Shapes, hints: Mapping[str, Any], *, images: bool
) -> Arguments | None:
    if "action_net.weight" not in shapes or "value_net.weight" not in shapes:
        return None
    convolved = convolved_of(shapes, "features_extractor", images=images)
    if convolved is None:
        return None
    extractors = [name for name in EXTRACTORS if f"{name}.linear.0.weight" in shapes]
    named = {"extractors": extractors} if images else {}
    return {**layer_arguments(shapes, hints), **named, **convolved}


def layer_arguments(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments:
    """Return the arguments for what follows the features of an actor-critic policy."""
    actions, inputs = shapes["action_net.weight"]
    chains = {
        name: chain_sizes(shapes, f"mlp_extractor.{name}_net") or []
        for name in ("shared", "policy", "value")
    }
    starts = [sizes[0] for sizes in chains.values() if sizes]
    spread = shapes.get("log_std")
    return {
        "actions": actions,
        "features": (starts or [inputs])[0],
        **activation_of(hints),
        **{name: sizes for name, sizes in chains.items() if sizes},
        **({} if spread is None else {"log_std": True if spread == (actions,) else spread}),
    }


def recognise_value_network(
    shapes: Shapes, hints: Mapping[str, Any], *, network: str, images: bool
) -> Arguments | None:
    """Return the arguments of the `ValueNetwork` called `network`."""
    layers = chain_sizes(shapes, f"{network}.{network}")
    convolved = convolved_of(shapes, f"{network}.features_extractor", images=images)
    if layers is None or convolved is None:
        return None
    return {"layers": layers, **activation_of(hints), **convolved}


def assumed(
    arguments: Arguments, hints: Mapping[str, Any], *, images: bool = True
) -> tuple[str, ...]:
    """Say what is assumed of a policy whose class and options are not in its file."""
    if hints.get("metadata"):
        return ()
    if not images:
        return (
            "a policy class and a features extractor of Stable-Baselines3's own (the file does not say)",
        )
    scaled = "" if "normalize_images" in hints else ", images divided by 255"
    return (
        f"policy and NatureCNN as Stable-Baselines3 builds them: ReLU{scaled} (the file does not say)",
    )


def images_and_flat(
    name: str,
    factory: Callable[..., nn.Module],
    recognise: Callable[..., Arguments | None],
    source: str,
) -> tuple[Architecture, Architecture]:
    """Return the architectures NAME-cnn, for images, and NAME-mlp, for flat observations."""
    images, flat = (
        Architecture(
            name=f"{name}-{kind}",
            factory=factory,
            recognise=partial(recognise, images=kind == "cnn"),
            preprocessing=preprocessing,
            source=source,
            assumes=partial(assumed, images=kind == "cnn"),
        )
        for kind, preprocessing in (("cnn", OUTSIDE), ("mlp", FLAT))
    )
    return images, flat


ARCHITECTURES = (
    *images_and_flat("sb3", ActorCritic, _recognise_actor_critic, _SOURCE),
    *images_and_flat("sb3-dqn", DQN, partial(recognise_value_network, network="q_net"), _SOURCE),
)
