"""Sample Factory's actor-critic on one image, with a recurrent core or without.

Observations are scaled and normalised by the running mean and standard deviation of the
checkpoint inside of the network. The activation and the scale are not among the weights but in the
``config.json`` next to the checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.architectures.mlp import activation as activation_called
from lrpdyn.architectures.mlp import chain_sizes, perceptron
from lrpdyn.architectures.model import INSIDE, Architecture, Arguments
from lrpdyn.architectures.places import place, place_buffer
from lrpdyn.architectures.recurrence import RecurrentPath, recurrent, recurrent_sizes
from lrpdyn.checkpoints.model import Shapes
from lrpdyn.errors import ArchitectureError

_NORMALISER = "obs_normalizer.running_mean_std.running_mean_std."
_EPSILON, _CLIP = 1e-5, 5.0  # of sample_factory.algo.utils.running_mean_std
_STRIDES = {
    (32, 64, 128): (4, 2, 2),  # convnet_simple
    (16, 32): (4, 2),  # convnet_impala
    (32, 64, 64): (4, 2, 1),  # convnet_atari
}
_KERNELS = (8, 4, 3)
_RESNET = (16, 32, 32)
_POSITION = re.compile(r"(?:actor_)?encoder\.encoders\.([^.]+)\.(enc\.)?conv_head\.0\.weight")


class _Normalised(nn.Module):
    """``obs_subtract_mean``, ``obs_scale``, and the running mean and variance of each entry."""

    def __init__(self, mean: float, scale: float, running: tuple[Tensor, Tensor] | None) -> None:
        super().__init__()
        self.mean, self.scale, self.normalised = mean, scale, running is not None
        self.running_mean: Tensor
        self.running_var: Tensor
        if running is not None:
            self.register_buffer("running_mean", running[0], persistent=False)
            self.register_buffer("running_var", running[1], persistent=False)
        self.clip = nn.Hardtanh(-_CLIP, _CLIP)

    def forward(self, x: Tensor) -> Tensor:
        if self.mean:
            x = x - self.mean
        x = x * (1 / self.scale)
        if not self.normalised:
            return x
        deviation = torch.sqrt(self.running_var.float() + _EPSILON)
        centred = x - self.running_mean.float()
        return self.clip(centred * (1 / deviation))  # type: ignore[no-any-return]


class _ResidualBlock(nn.Module):
    """An activation and a convolution, twice, and the block's input added."""

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        convolutions = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        layers = [part for c in convolutions for part in (activation_called(activation), c)]
        self.res_block_core = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.res_block_core(x) + x  # type: ignore[no-any-return]


class ActorCritic(nn.Module):
    """ActorCriticSharedWeights, or with two encoders ActorCriticSeparateWeights.

    Parameters
    ----------
    observation
        The name of the observation, and `shape` that of its running mean (C, H, W), where it has
        one.
    channels
        Of the convolutions, inputs first.
    encoder, decoder
        Sizes of the linear layers after the convolutions and of the decoder, inputs first.
    actions
        Units of the policy.
    core
        Arguments of `lrpdyn.architectures.recurrence.recurrent`, where there is a recurrent core.
    residual
        The encoder is ``resnet_impala``, else one of the plain ones.
    separate
        Policy and value have an encoder and a decoder each.
    returns
        The running mean of returns is among the weights; values stay normalised by it.
    activation
        ``elu``, ``relu`` or ``tanh``: ``nonlinearity`` in ``config.json``.
    obs_subtract_mean, obs_scale
        As in ``config.json``; those of all its examples where not given.

    Raises
    ------
    ArchitectureError
        `activation` is not given.
    """

    heads = ("policy", "value")

    def __init__(
        self,
        observation: str,
        channels: list[int],
        encoder: list[int],
        decoder: list[int],
        actions: int,
        core: Arguments | None = None,
        residual: bool = False,
        separate: bool = False,
        shape: tuple[int, ...] | None = None,
        returns: bool = False,
        activation: str | None = None,
        obs_subtract_mean: float = 0.0,
        obs_scale: float = 255.0,
    ) -> None:
        super().__init__()
        if activation is None:
            raise ArchitectureError(
                "Sample Factory's activation is not in its weights; say what config.json beside the "
                "checkpoints has as nonlinearity, such as --arch-arg activation=elu or --arch-arg "
                "activation=relu"
            )
        self._mean, self._scale = obs_subtract_mean, obs_scale
        self._normaliser = None if shape is None else f"{_NORMALISER}{observation}"
        if self._normaliser is not None and shape is not None:
            _add_statistics(self, self._normaliser, tuple(shape))
        if returns:
            _add_statistics(self, "returns_normalizer", (1,))
        self._inner = f"encoders.{observation}" + ("" if residual else ".enc")
        self._prefixes = {"policy": "actor_", "value": "critic_"} if separate else {}
        make = _residual if residual else _plain
        self._recurrent = core is not None
        for prefix in self._prefixes.values() or [""]:
            if core is not None:
                place(self, f"{prefix}core.core", recurrent(**core))
            encoded = f"{prefix}encoder.{self._inner}"
            place(self, f"{encoded}.conv_head", make(channels, activation))
            place(self, f"{encoded}.mlp_layers", _layers(encoder, activation))
            place(self, f"{prefix}decoder.mlp", _layers(decoder, activation))
        self.critic_linear = nn.Linear(decoder[-1], 1)
        place(self, "action_parameterization.distribution_linear", nn.Linear(decoder[-1], actions))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation, pixels of 0..255, to the outputs of `head`."""
        running = None
        if self._normaliser is not None:
            mean, variance = (
                self.get_buffer(f"{self._normaliser}.running_{kind}") for kind in ("mean", "var")
            )
            running = (mean, variance)
        prefix = self._prefixes.get(head, "")
        encoded = f"{prefix}encoder.{self._inner}"
        last = {
            "policy": "action_parameterization.distribution_linear", "value": "critic_linear",
        }[head]  # fmt: skip
        features = (
            _Normalised(self._mean, self._scale, running),
            self.get_submodule(f"{encoded}.conv_head"),
            nn.Flatten(),
            self.get_submodule(f"{encoded}.mlp_layers"),
        )
        outputs = (self.get_submodule(f"{prefix}decoder.mlp"), self.get_submodule(last))
        if not self._recurrent:
            return nn.Sequential(*features, *outputs)
        core = self.get_submodule(f"{prefix}core.core")
        assert isinstance(core, nn.RNNBase)  # __init__ made it
        return RecurrentPath(
            nn.Sequential(*features), core, nn.Sequential(*outputs), axes=4, name=f"{prefix}core"
        )


def _add_statistics(network: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    place_buffer(network, f"{name}.running_mean", torch.zeros(shape, dtype=torch.float64))
    place_buffer(network, f"{name}.running_var", torch.ones(shape, dtype=torch.float64))
    place_buffer(network, f"{name}.count", torch.ones(1, dtype=torch.float64))


def _layers(sizes: list[int], activation: str) -> nn.Module:
    if len(sizes) < 2:
        return nn.Identity()
    return perceptron(sizes, activation, ends_in_activation=True)


def _plain(channels: list[int], activation: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    strides = _STRIDES[tuple(channels[1:])]
    for (inputs, outputs), kernel, stride in zip(
        pairwise(channels), _KERNELS, strides, strict=False
    ):
        layers += [nn.Conv2d(inputs, outputs, kernel, stride), activation_called(activation)]
    return nn.Sequential(*layers)


def _residual(channels: list[int], activation: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.MaxPool2d(3, 2, padding=1)]
        layers += [_ResidualBlock(outputs, activation), _ResidualBlock(outputs, activation)]
    return nn.Sequential(*layers, activation_called(activation))


def _recognise(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    linear = shapes.get("action_parameterization.distribution_linear.weight")
    if linear is None or "critic_linear.weight" not in shapes:
        return None
    position = next(filter(None, map(_POSITION.fullmatch, shapes)), None)
    if position is None:
        return None
    observation, residual = position[1], position[2] is None
    prefix = "actor_" if position[0].startswith("actor_") else ""
    encoded = position[0].removesuffix(".conv_head.0.weight")
    channels = _channels(shapes, f"{encoded}.conv_head", residual)
    encoder = chain_sizes(shapes, f"{encoded}.mlp_layers")
    if channels is None:
        return None
    decoder = chain_sizes(shapes, f"{prefix}decoder.mlp") or [linear[1]]
    core = recurrent_sizes(shapes, f"{prefix}core.core")
    statistics = shapes.get(f"{_NORMALISER}{observation}.running_mean")
    return {
        "observation": observation,
        "channels": channels,
        "encoder": encoder or [],
        "decoder": decoder,
        "actions": linear[0],
        **({} if core is None else {"core": core}),
        "residual": residual,
        "separate": bool(prefix),
        **({} if statistics is None else {"shape": statistics}),
        "returns": "returns_normalizer.running_mean" in shapes,
        "obs_subtract_mean": 0.0,
        "obs_scale": 255.0,
    }


def _channels(shapes: Shapes, head: str, residual: bool) -> list[int] | None:
    """Return the channels of the convolutions, inputs first, of an encoder that we know."""
    weights = [
        shape
        for key, shape in shapes.items()
        if re.fullmatch(re.escape(head) + r"\.\d+\.weight", key) and len(shape) == 4
    ]
    outputs, kernels = tuple(s[0] for s in weights), tuple(s[2] for s in weights)
    known = (
        (outputs, kernels) == (_RESNET, (3, 3, 3))
        if residual
        else outputs in _STRIDES and kernels == _KERNELS[: len(kernels)]
    )
    return [weights[0][1], *outputs] if known else None


def _assumes(arguments: Arguments, hints: Mapping[str, Any]) -> tuple[str, ...]:
    said = {"obs_subtract_mean": "subtracted", "obs_scale": "divided by"}
    assumed = [f"{arguments[k]:g} {how}" for k, how in said.items() if k not in hints]
    return (f"pixels with {' and '.join(assumed)} (config.json says)",) if assumed else ()


ARCHITECTURE = Architecture(
    name="sample-factory",
    factory=ActorCritic,
    recognise=_recognise,
    preprocessing=INSIDE,
    source="sample_factory.model.actor_critic",
    assumes=_assumes,
)
