"""RLlib's new stack: DefaultPPOTorchRLModule and DefaultDQNTorchRLModule, recurrent ones too.

What weights do not say (activations, strides, which outputs are means) is in the ``model_config`` and the
spaces of ``class_and_ctor_args.pkl``, which lies beside them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.architectures.mlp import activation as activation_called
from lrpdyn.architectures.mlp import chain_sizes
from lrpdyn.architectures.model import Architecture, Arguments
from lrpdyn.architectures.outputs import AtomMean, Dueling
from lrpdyn.architectures.places import place
from lrpdyn.architectures.recurrence import RecurrentPath, recurrent, recurrent_sizes
from lrpdyn.checkpoints.model import Shapes
from lrpdyn.errors import ArchitectureError

_SHARED, _ACTOR, _CRITIC, _OF_Q = (
    "encoder.encoder", "encoder.actor_encoder", "encoder.critic_encoder", "encoder",
)  # fmt: skip
_EPSILON = 1e-3  # of RLlib's LayerNorm
#: Strides of ``conv_filters`` where none are given, by the size of the image.
_STRIDES = {96: (4, 2, 2), 84: (4, 2, 1), 64: (2, 2, 2, 2), 42: (2, 2, 1), 10: (2, 2)}
_LINEAR = "linear"


class RLModule(nn.Module):
    """Encoders and heads.

    Parameters
    ----------
    encoders
        Their names in the state dict; all are alike.
    outputs
        Sizes of each head's perceptron, inputs first.
    layers
        Sizes of the encoder's perceptron, of observations that are no images.
    convolutions
        Of images: output channels, kernel and whether padded, of each; `channels` of the image, its size
        `image` and the `strides`.
    lstm
        Arguments of `lrpdyn.architectures.recurrence.recurrent`, of an encoder that ends in one.
    activation, conv_activation, head_activation
        As in ``model_config``; ``linear`` is none.
    normalised, head_normalised
        Hidden layers of the perceptrons have a LayerNorm.
    """

    def __init__(
        self,
        encoders: tuple[str, ...],
        outputs: dict[str, list[int]],
        layers: list[int] | None = None,
        convolutions: list[tuple[int, Any, bool]] | None = None,
        channels: int = 0,
        image: tuple[int, int] | None = None,
        strides: Sequence[Any] | None = None,
        lstm: Arguments | None = None,
        activation: str | None = None,
        conv_activation: str = "relu",
        head_activation: str = "relu",
        normalised: bool = False,
        head_normalised: bool = False,
    ) -> None:
        super().__init__()
        self._encoders, self._images = encoders, convolutions is not None
        for name in encoders:
            tokenizer = f"{name}.tokenizer" if lstm else name
            if convolutions is not None:
                cnn = _convolved(convolutions, channels, image, strides, conv_activation)
                place(self, f"{tokenizer}.net.0.cnn", cnn)
            elif layers is not None:
                mlp = _perceptron(layers, activation, normalised, whole=True)
                place(self, f"{tokenizer}.net.mlp", mlp)
            if lstm:
                place(self, f"{name}.lstm", recurrent(**lstm))
        for name, sizes in outputs.items():
            head = _perceptron(sizes, head_activation, head_normalised, whole=False)
            place(self, f"{name}.net.mlp", head)

    def head(self, name: str) -> nn.Module:
        """Return the perceptron of a head."""
        return self.get_submodule(f"{name}.net.mlp")

    def after(self, encoder: str, last: nn.Module) -> nn.Module:
        """Return the layers from the observation through an encoder to what `last` gives."""
        encoder = encoder if encoder in self._encoders else self._encoders[0]
        core = getattr(self.get_submodule(encoder), "lstm", None)
        tokenizer = encoder if core is None else f"{encoder}.tokenizer"
        if self._images:
            first: list[nn.Module] = [self.get_submodule(f"{tokenizer}.net.0.cnn"), _ChannelsLast()]
        else:
            first = [nn.Flatten(), self.get_submodule(f"{tokenizer}.net.mlp")]
        if core is None:
            return nn.Sequential(*first, last)
        name = "critic_lstm" if encoder == _CRITIC else "lstm"
        axes = 4 if self._images else 2
        return RecurrentPath(nn.Sequential(*first), core, last, axes=axes, name=name)


class ActorCritic(RLModule):
    """DefaultPPOTorchRLModule; of `means` policy outputs, the others are logarithms of deviations."""

    def __init__(self, means: int | None = None, continuous: bool = False, **layers: Any) -> None:
        super().__init__(**layers)
        self.heads = ("policy", "value") if "vf" in layers["outputs"] else ("policy",)
        self._means = means
        self.action_space = "box" if continuous else "discrete"

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the outputs of `head`."""
        if head == "value":
            return self.after(_CRITIC, self.head("vf"))
        first = [] if self._means is None else [_First(self._means)]
        return self.after(_ACTOR, nn.Sequential(self.head("pi"), *first))


class QNetwork(RLModule):
    """DefaultDQNTorchRLModule, dueling where it has ``vf``, of `atoms` over `support` where given."""

    heads = ("q",)
    support: Tensor

    def __init__(
        self, atoms: int = 1, support: tuple[float, float] | None = None, **layers: Any
    ) -> None:
        super().__init__(**layers)
        outputs = layers["outputs"]["af"][-1]
        self._actions, self._atoms = outputs // atoms, atoms
        self._dueling = "vf" in layers["outputs"]
        if atoms > 1:
            if support is None:
                raise ArchitectureError(
                    "the least and the largest atom are not in the weights; say them with --arch-arg "
                    "support=V_MIN,V_MAX"
                )
            values = torch.linspace(*support, atoms)
            self.register_buffer("support", values, persistent=False)

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        advantage = self.head("af")
        if self._atoms > 1:
            value = self.head("vf") if self._dueling else None
            logits = _AtomLogits(advantage, value, self._actions, self._atoms)
            return self.after(_OF_Q, nn.Sequential(logits, AtomMean(self._actions, self.support)))
        if self._dueling:
            return self.after(_OF_Q, Dueling(self.head("vf"), advantage, self._actions))
        return self.after(_OF_Q, advantage)


class _AtomLogits(nn.Module):
    """Advantages less their mean over the atoms, and the value: (N, actions, atoms)."""

    def __init__(
        self, advantage: nn.Module, value: nn.Module | None, actions: int, atoms: int
    ) -> None:
        super().__init__()
        self.advantage, self.value, self.shape = advantage, value, (actions, atoms)

    def forward(self, features: Tensor) -> Tensor:
        logits = self.advantage(features).view(-1, *self.shape)
        if self.value is None:
            return logits  # type: ignore[no-any-return]
        centred = logits - logits.mean(dim=-1, keepdim=True)
        return centred + self.value(features).view(-1, 1, 1)  # type: ignore[no-any-return]


class _First(nn.Module):
    """The first `count` outputs."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        return x[:, : self.count]


class _ChannelsLast(nn.Module):
    """Flat features (N, height * width * channels)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def _function(name: str | None) -> list[nn.Module]:
    names = {"swish": "silu"}
    return [] if name == _LINEAR else [activation_called(names.get(str(name), name))]


def _perceptron(
    sizes: list[int], function: str | None, normalised: bool, *, whole: bool
) -> nn.Sequential:
    """Return Linear layers with an activation after each, the last too where it is the `whole` encoder."""
    layers: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=2):
        layers.append(nn.Linear(inputs, outputs))
        if whole or number < len(sizes):
            layers += [nn.LayerNorm(outputs, eps=_EPSILON)] if normalised else []
            layers += _function(function)
    return nn.Sequential(*layers)


def _convolved(
    convolutions: list[tuple[int, Any, bool]],
    channels: int,
    image: tuple[int, int] | None,
    strides: Sequence[Any] | None,
    function: str | None,
) -> nn.Sequential:
    if image is None or strides is None or len(strides) != len(convolutions):
        raise ArchitectureError(
            "the size of the image and the strides of the convolutions are not in the weights, and "
            "class_and_ctor_args.pkl, which says them, does not lie beside module_state.pkl; say them with "
            "--arch-arg image=84,84 --arch-arg strides=4,2,1"
        )
    layers: list[nn.Module] = []
    size = tuple(image)
    for (outputs, kernel, padded), stride in zip(convolutions, strides, strict=True):
        steps = (stride, stride) if isinstance(stride, int) else tuple(stride)
        if padded:  # as TensorFlow's "same"
            found = [math.ceil(length / step) for length, step in zip(size, steps, strict=True)]
            more = [
                max(0, (count - 1) * step + width - length)
                for count, step, width, length in zip(found, steps, kernel, size, strict=True)
            ]
            (top, bottom), (left, right) = ((n // 2, n - n // 2) for n in more)
            layers.append(nn.ZeroPad2d((left, right, top, bottom)))
        else:
            found = [
                (n - width) // step + 1 for n, width, step in zip(size, kernel, steps, strict=True)
            ]
        layers += [nn.Conv2d(channels, outputs, kernel, steps), *_function(function)]
        channels, size = outputs, tuple(found)
    return nn.Sequential(*layers)


def _config(hints: Mapping[str, Any]) -> Mapping[str, Any]:
    found = hints.get("config")
    return found if isinstance(found, Mapping) else {}


def _module_arguments(
    shapes: Shapes, hints: Mapping[str, Any], encoders: Sequence[str], heads: Sequence[str]
) -> Arguments | None:
    """Return the arguments of `RLModule`, None where these are not the weights of one."""
    matrices = {key: shape for key, shape in shapes.items() if len(shape) == 2}
    named = [name for name in encoders if any(key.startswith(f"{name}.") for key in shapes)]
    outputs = {name: chain_sizes(matrices, f"{name}.net.mlp") for name in heads}
    outputs = {name: sizes for name, sizes in outputs.items() if sizes}
    if not named or heads[0] not in outputs:
        return None
    lstm = recurrent_sizes(shapes, f"{named[0]}.lstm")
    tokenizer = f"{named[0]}.tokenizer" if lstm else named[0]
    layers = chain_sizes(matrices, f"{tokenizer}.net.mlp")
    config = _config(hints)
    names = {
        "fcnet_activation": "activation", "conv_activation": "conv_activation",
        "head_fcnet_activation": "head_activation",
    }  # fmt: skip
    functions = {ours: config[name] or _LINEAR for name, ours in names.items() if name in config}
    convolutions = None
    if layers is None:
        convolutions = _convolutions(shapes, hints, f"{tokenizer}.net.0.cnn", functions)
        if convolutions is None:
            return None
    return {
        "encoders": named,
        "outputs": outputs,
        **(convolutions or {"layers": layers}),
        **({"lstm": lstm} if lstm else {}),
        **functions,
        "normalised": f"{tokenizer}.net.mlp.1.bias" in shapes,
        "head_normalised": f"{heads[0]}.net.mlp.1.bias" in shapes,
    }


def _convolutions(
    shapes: Shapes, hints: Mapping[str, Any], name: str, functions: Mapping[str, str]
) -> Arguments | None:
    pattern = re.compile(re.escape(name) + r"\.(\d+)\.weight")
    found = {int(m[1]): shapes[key] for key in shapes if (m := pattern.fullmatch(key))}
    if not found or any(len(shape) != 4 for shape in found.values()):
        return None
    behind = 1 if functions.get("conv_activation") == _LINEAR else 2
    layers, place_of = [], 0
    for index in sorted(found):
        outputs, _, *kernel = found[index]
        layers.append((outputs, tuple(kernel), index > place_of))
        place_of = index + behind
    image = tuple(hints.get("observation_space", {}).get("shape", ())[:2])
    filters = _config(hints).get("conv_filters")
    strides = [each[2] for each in filters] if filters else _STRIDES.get(max(image, default=0))
    return {
        "convolutions": layers,
        "channels": found[min(found)][1],
        **({"image": image, "strides": list(strides)} if image and strides else {}),
    }


def _recognise_actor_critic(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    found = _module_arguments(shapes, hints, (_SHARED, _ACTOR, _CRITIC), ("pi", "vf"))
    if found is None:
        return None
    free = "pi.log_std" in shapes
    space = hints.get("action_space", {})
    continuous = free or space.get("kind") == "Box"
    halves = continuous and not free
    means = {"means": found["outputs"]["pi"][-1] // 2} if halves else {}
    return {**found, **means, "continuous": continuous}


def _recognise_q(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    found = _module_arguments(shapes, hints, (_OF_Q,), ("af", "vf"))
    if found is None:
        return None
    config = _config(hints)
    atoms = config.get("num_atoms", 1)
    ends = tuple(config[name] for name in ("v_min", "v_max") if name in config)
    support = {"support": ends} if len(ends) == 2 else {}
    return {**found, **({"atoms": atoms, **support} if atoms > 1 else {})}


def _assumes(arguments: Arguments, hints: Mapping[str, Any], *, default: str) -> tuple[str, ...]:
    seen = (
        "observations are as the module sees them, behind RLlib's connectors (statistics of a MeanStdFilter "
        "are not applied)"
    )
    if _config(hints):
        return (seen,)
    return (
        f"RLlib's defaults for what class_and_ctor_args.pkl would say: {default}; ReLU in heads of several "
        "layers and convolutions",
        seen,
    )


ARCHITECTURES = tuple(
    Architecture(
        name=f"rllib-{name}",
        factory=factory,
        recognise=recognise,
        source=f"ray.rllib.algorithms.{name}.torch.default_{name}_torch_rl_module",
        assumes=partial(_assumes, default=default),
        unused=r"\w+\.log_std_clip_param_const$|pi\.log_std$|_?target_\w+\.",
    )
    for name, factory, recognise, default in (
        ("ppo", ActorCritic, _recognise_actor_critic, "logits of one discrete action"),
        ("dqn", QNetwork, _recognise_q, "one atom"),
    )
)
