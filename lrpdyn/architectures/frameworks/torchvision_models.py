"""Torchvision's image classifiers, by name: ``--arch torchvision:NAME``.

The usual ResNets and VGGs are recognised from their weights; others are named by the user.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from lrpdyn.architectures.model import Architecture, Arguments, Family
from lrpdyn.checkpoints.model import Shapes
from lrpdyn.errors import UsageError

PREFIX = "torchvision:"
#: Blocks of each stage, and the first convolution of a block.
_RESNETS = {
    "resnet18": ((2, 2, 2, 2), (64, 64, 3, 3)),
    "resnet34": ((3, 4, 6, 3), (64, 64, 3, 3)),
    "resnet50": ((3, 4, 6, 3), (64, 64, 1, 1)),
}
#: The number of convolutions, and whether batch normalisation follows each.
_VGGS = {
    "vgg11": (8, False),
    "vgg11_bn": (8, True),
    "vgg16": (13, False),
    "vgg16_bn": (13, True),
}
#: Heads that only training uses: how their keys start.
_AUXILIARY = {"googlenet": "aux", "inception_v3": "AuxLogits"}


def named(name: str) -> Architecture:
    """Return the architecture of ``torchvision:NAME``.

    Raises
    ------
    UsageError
        Torchvision is not installed, or has no classifier of this name.
    """
    models = _models()
    model = name.removeprefix(PREFIX)
    known = models.list_models(module=models)
    if model not in known:
        near = difflib.get_close_matches(model, known, n=3) or known[:3]
        nearest = ", ".join(PREFIX + other for other in near)
        raise UsageError(
            f"--arch {name}: torchvision has no image classifier of this name; the nearest are {nearest}"
        )
    return _architecture(model, lambda shapes, hints: _read_arguments(model, shapes))


def is_another(network: str, name: str) -> bool:
    """Tell whether a training script's word for its network is another one than the architecture `name`.

    A word that is no ResNet's or VGG's, or the bare family's, tells nothing.

    >>> is_another("resnetaa50", "torchvision:resnet50"), is_another("resnet50", "torchvision:resnet50")
    (True, False)
    """
    if not name.startswith(PREFIX):
        return False
    # Tags of weights, as in timm/resnet50.a1_in1k, and where they were trained: tv_resnet50.
    word = re.sub(r"^(tv|ssl|swsl)_", "", network.lower().rpartition("/")[2].partition(".")[0])
    said, model = (re.sub(r"[-_]", "", text) for text in (word, name.removeprefix(PREFIX)))
    families = [family for family in ("resnet", "resnext", "vgg") if family in said]
    return bool(families) and said not in (model, *families)


def _assumes(arguments: Arguments, hints: Mapping[str, Any], *, model: str) -> tuple[str, ...]:
    stem = ", a 3x3 max-pooling of stride 2 after the first" if model in _RESNETS else ""
    return (
        f"torchvision's own {model}: its ReLU, pooling and strides{stem} (weights do not tell them)"
        if model in _RESNETS or model in _VGGS
        else f"torchvision's own {model}: its activations, pooling and strides (weights do not tell them)",
    )


def _architecture(
    model: str, recognise: Callable[[Shapes, Mapping[str, Any]], Arguments | None]
) -> Architecture:
    return Architecture(
        name=f"{PREFIX}{model}",
        factory=functools.partial(_build, model),
        recognise=recognise,
        source=f"torchvision.models.{model}",
        assumes=functools.partial(_assumes, model=model),
    )


def _models() -> Any:
    try:
        from torchvision import models  # type: ignore[import-untyped]
    except ImportError as error:
        raise UsageError(
            "torchvision, which this network is from, is not installed: pip install 'lrpdyn[torchvision]'"
        ) from error
    return models


def _build(model: str, **arguments: Any) -> nn.Module:
    if model in _AUXILIARY:
        # Torchvision warns that this default of these two will change.
        arguments = {"init_weights": True, **arguments}
    network: nn.Module = _models().get_model(model, weights=None, **arguments)
    return network


def _read_arguments(model: str, shapes: Shapes) -> Arguments | None:
    """Return the number of classes, and whether auxiliary heads are among the weights."""
    start = _AUXILIARY.get(model)
    auxiliary = {} if start is None else {"aux_logits": any(k.startswith(start) for k in shapes)}
    with torch.device("meta"):
        one, other = (
            _build(model, num_classes=n, **auxiliary).state_dict() for n in (1000, 1001)
        )  # fmt: skip
    # The keys whose shapes follow the number of classes, whatever the last layer is called.
    last = next(key for key in one if one[key].shape != other[key].shape)
    return {"num_classes": shapes[last][0], **auxiliary} if last in shapes else None


def _recognise_resnet(shapes: Shapes, hints: Mapping[str, Any], *, model: str) -> Arguments | None:
    stages, first = _RESNETS[model]
    blocks = {m[0] for key in shapes if (m := re.match(r"layer\d+\.\d+\.", key))}
    wanted = {
        f"layer{stage}.{block}."
        for stage, count in enumerate(stages, start=1)
        for block in range(count)
    }
    stem = shapes.get("conv1.weight", ())[2:] == (7, 7)
    if not stem or blocks != wanted or shapes.get("layer1.0.conv1.weight") != first:
        return None
    return _read_arguments(model, shapes)


def _recognise_vgg(shapes: Shapes, hints: Mapping[str, Any], *, model: str) -> Arguments | None:
    count, normalised = _VGGS[model]
    found = [key for key in shapes if re.fullmatch(r"features\.\d+\.weight", key)]
    convolutions = [key for key in found if len(shapes[key]) == 4]
    if len(convolutions) != count or shapes.get("classifier.0.weight") != (4096, 25088):
        return None
    if ("features.1.running_mean" in shapes) != normalised:
        return None
    return _read_arguments(model, shapes)


ARCHITECTURES = tuple(
    _architecture(model, functools.partial(recognise, model=model))
    for models, recognise in ((_RESNETS, _recognise_resnet), (_VGGS, _recognise_vgg))
    for model in models
)
FAMILY = Family(prefix=PREFIX, owner="torchvision's", named=named)
