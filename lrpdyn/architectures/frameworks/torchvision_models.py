"""Torchvision's image classifiers, by name (``--arch torchvision:NAME``) and by their weights."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from lrpdyn.architectures.model import (
    Architecture,
    Arguments,
    Family,
    is_installed,
    unknown_network,
)
from lrpdyn.architectures.shapes import (
    CLASSES,
    fitting_arguments,
    free_arguments,
    may_classify_images,
    not_installed,
    on_meta,
    shapes_of,
)
from lrpdyn.checkpoints.model import Shapes

PREFIX = "torchvision:"
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
        raise unknown_network(name, model, known, "torchvision has no image classifier")
    return _architecture(model)


def _recognised(shapes: Shapes, hints: Mapping[str, Any]) -> Sequence[Architecture]:
    """Return the classifiers that have just these weights."""
    if not may_classify_images(shapes, hints) or not is_installed("torchvision"):
        return []
    models = _models()
    return [
        _architecture(model)
        for model in models.list_models(module=models)
        if fitting_arguments(
            functools.partial(_build, model, **_auxiliary(model, shapes)), shapes, size=_size(model)
        )
    ]


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
    what = "activations, pooling and strides"
    if model.startswith(("resnet", "resnext", "wide_resnet")):
        what = "ReLU, strides, and a 3x3 max-pooling of stride 2 after the first convolution"
    return (f"torchvision's own {model}: {what} (weights do not tell)",)


def imagenet_categories(name: str) -> list[str]:
    """Return ImageNet's 1,000 categories for one of torchvision's or timm's classifiers, else nothing."""
    if not name.startswith((PREFIX, "timm:")) or not is_installed("torchvision"):
        return []
    found: list[str] = _models().ResNet18_Weights.DEFAULT.meta["categories"]
    return list(found)


def _architecture(model: str) -> Architecture:
    return Architecture(
        name=f"{PREFIX}{model}",
        factory=functools.partial(_build, model),
        recognise=functools.partial(_recognise, model=model),
        source=f"torchvision.models.{model}",
        assumes=functools.partial(_assumes, model=model),
    )


def _models() -> Any:
    try:
        from torchvision import models  # type: ignore[import-untyped]
    except ImportError as error:
        raise not_installed("torchvision", "torchvision") from error
    return models


def _build(model: str, **arguments: Any) -> nn.Module:
    if model in _AUXILIARY:
        # Torchvision warns that this default of these two will change.
        arguments = {"init_weights": True, **arguments}
    network: nn.Module = _models().get_model(model, weights=None, **arguments)
    return network


def _recognise(shapes: Shapes, hints: Mapping[str, Any], *, model: str) -> Arguments | None:
    """Return the number of classes, the size of images, and whether there are auxiliary heads."""
    auxiliary = _auxiliary(model, shapes)
    with on_meta():
        expected = shapes_of(_build(model, num_classes=CLASSES, **auxiliary))
    free = free_arguments(expected, shapes, size=_size(model))
    return None if free is None else {**free, **auxiliary}


def _auxiliary(model: str, shapes: Shapes) -> Arguments:
    start = _AUXILIARY.get(model)
    return {} if start is None else {"aux_logits": any(key.startswith(start) for key in shapes)}


def _size(model: str) -> str:
    """Return what a model calls the size of images that its weights tell."""
    return "image_size" if model.startswith("vit_") else ""


FAMILY = Family(
    prefix=PREFIX,
    owner="torchvision's",
    package="torchvision",
    extra="torchvision",
    named=named,
    recognised=_recognised,
)
