"""Actors of Stable-Baselines3 and sb3-contrib that have critics of the action: SAC, TQC, CrossQ, TD3, DDPG.

What squashes or clips a mean comes after what is explained: it is one dimension's own, and rises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.architectures.frameworks.sb3 import (
    Extractor,
    convolved_of,
    images_and_flat,
)
from lrpdyn.architectures.mlp import activation, activation_of, chain_sizes, perceptron
from lrpdyn.architectures.model import Architecture, Arguments
from lrpdyn.checkpoints.model import Shapes

#: Critics see observation and action, and take no part in the means; nor does what a copy of them has.
_UNUSED = r"(critic|critic_target|actor_target)\.|actor\.log_std(\.|$)"
_SQUASHED = "the tanh that squashes a mean"


class _Actor(nn.Module):
    """``actor``, with a NatureCNN where it sees images.

    Parameters
    ----------
    layers
        Sizes, inputs first and means last.
    activation
        Of hidden layers; None where it is not known and has to be said.
    channels, convolved
        Of the NatureCNN; 0 for flat observations.
    """

    heads = ("policy",)
    action_space = "box"
    left_out: Mapping[str, str] = {"policy": _SQUASHED}

    def __init__(self, layers: list[int], channels: int = 0, convolved: int = 0) -> None:
        super().__init__()
        self.actor = nn.Module()
        if channels:
            self.actor.features_extractor = Extractor(channels, convolved, layers[0])

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the means."""
        extractor = getattr(self.actor, "features_extractor", None)
        first = [nn.Flatten()] if extractor is None else [extractor.cnn, extractor.linear]
        return nn.Sequential(*first, *self.after_features())

    def after_features(self) -> list[nn.Module]:
        """Return the layers from the features to the means."""
        latent = getattr(self.actor, "latent_pi", nn.Sequential())
        return [*latent, self.actor.get_submodule("mu")]


class Deterministic(_Actor):
    """The actor of TD3 and DDPG: ``mu``."""

    def __init__(
        self,
        layers: list[int],
        activation: str | None = "relu",
        channels: int = 0,
        convolved: int = 0,
    ) -> None:
        super().__init__(layers, channels, convolved)
        self.actor.mu = perceptron(layers, activation)


class Gaussian(_Actor):
    """The actor of SAC and TQC: ``latent_pi`` and ``mu``, which gSDE clips (`clipped`)."""

    def __init__(
        self,
        layers: list[int],
        activation: str | None = "relu",
        channels: int = 0,
        convolved: int = 0,
        clipped: bool = False,
    ) -> None:
        super().__init__(layers, channels, convolved)
        self.actor.latent_pi = self.latent(layers[:-1], activation)
        means = nn.Linear(layers[-2], layers[-1])
        self.actor.mu = nn.Sequential(means) if clipped else means
        if clipped:
            self.left_out = {"policy": f"what clips a mean (gSDE), and {_SQUASHED}"}

    def latent(self, sizes: list[int], activation: str | None) -> nn.Sequential:
        """Return the hidden layers."""
        return perceptron(sizes, activation, ends_in_activation=True)


class CrossQ(Gaussian):
    """The actor of CrossQ: batch renormalisation before each layer."""

    def latent(self, sizes: list[int], activation: str | None) -> nn.Sequential:
        """Return the hidden layers, with what normalises before each and after the last."""
        return _renormalised(sizes, activation)

    def after_features(self) -> list[nn.Module]:
        """Return the layers from the features to the means, at evaluation."""
        return [
            layer.as_batch_norm() if isinstance(layer, BatchRenorm) else layer
            for layer in super().after_features()
        ]


def _renormalised(sizes: list[int], function: str | None) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [BatchRenorm(inputs), nn.Linear(inputs, outputs), activation(function)]
    return nn.Sequential(*layers, BatchRenorm(sizes[-1]))


class BatchRenorm(nn.Module):
    """sb3-contrib's ``BatchRenorm1d``, which at evaluation is BatchNorm by its running statistics."""

    ra_mean: Tensor
    ra_var: Tensor
    steps: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("ra_mean", torch.zeros(features))
        self.register_buffer("ra_var", torch.ones(features))
        self.register_buffer("steps", torch.tensor(0))
        self.scale = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def as_batch_norm(self) -> nn.BatchNorm1d:
        """Return the same function, by the same weights and statistics."""
        norm = nn.BatchNorm1d(len(self.scale), eps=1e-3)
        norm.weight, norm.bias = self.scale, self.bias
        norm.running_mean, norm.running_var = self.ra_mean, self.ra_var
        return norm.eval()


def _recognise_deterministic(
    shapes: Shapes, hints: Mapping[str, Any], *, images: bool
) -> Arguments | None:
    layers = chain_sizes(shapes, "actor.mu")
    if layers is None or any(
        key.startswith(("actor.latent_pi", "actor.log_std")) for key in shapes
    ):
        return None
    convolved = convolved_of(shapes, "actor.features_extractor", images=images)
    return None if convolved is None else {"layers": layers, **activation_of(hints), **convolved}


def _recognise_gaussian(
    shapes: Shapes, hints: Mapping[str, Any], *, images: bool, renormalised: bool
) -> Arguments | None:
    clipped = "actor.mu.0.weight" in shapes
    means = shapes["actor.mu.0.weight" if clipped else "actor.mu.weight"]
    hidden = [
        shape for key, shape in shapes.items()
        if key.startswith("actor.latent_pi.") and key.endswith(".weight")
    ]  # fmt: skip
    convolved = convolved_of(shapes, "actor.features_extractor", images=images)
    deviates = any(key.startswith("actor.log_std") for key in shapes)
    normalises = "actor.latent_pi.0.ra_mean" in shapes
    if convolved is None or not deviates or normalises is not renormalised:
        return None
    layers = [shape[1] for shape in (*hidden, means)] + [means[0]]
    named = {"clipped": True} if clipped else {}
    return {"layers": layers, **activation_of(hints), **convolved, **named}


def _assumes_epsilon(
    arguments: Arguments, hints: Mapping[str, Any], *, then: Architecture
) -> tuple[str, ...]:
    return (*then.assumes(arguments, hints), "batch_norm_eps is 0.001, sb3-contrib's default")


def _architectures() -> list[Architecture]:
    gaussian = partial(_recognise_gaussian, renormalised=False)
    crossq = images_and_flat(
        "sb3-crossq", CrossQ, partial(_recognise_gaussian, renormalised=True),
        "sb3_contrib.crossq.policies",
    )  # fmt: skip
    found = (
        *images_and_flat("sb3-sac", Gaussian, gaussian, "stable_baselines3.sac.policies"),
        *images_and_flat(
            "sb3-td3", Deterministic, _recognise_deterministic, "stable_baselines3.td3.policies"
        ),
        *(replace(one, assumes=partial(_assumes_epsilon, then=one)) for one in crossq),
    )
    return [replace(one, unused=_UNUSED) for one in found]


ARCHITECTURES = tuple(_architectures())
