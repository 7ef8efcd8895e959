"""timm's image classifiers, by name (``--arch timm:NAME``), by their file and by their weights."""

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
    function_of,
    may_classify_images,
    not_installed,
    on_meta,
    shapes_of,
)
from lrpdyn.checkpoints.model import Shapes
from lrpdyn.errors import ArchitectureError

PREFIX = "timm:"
#: What networks call the size of their images and the number of channels of these.
_FREE = {"size": "img_size", "channels": "in_chans"}
_MOST_LISTED = 12


def named(name: str) -> Architecture:
    """Return the architecture of ``timm:NAME``; a tag of pretrained weights may follow the name.

    Raises
    ------
    UsageError
        timm is not installed, or has no network of this name.
    """
    timm = _timm()
    model = _without_tag(name.removeprefix(PREFIX))
    if not timm.is_model(model):
        known = timm.list_models()
        raise unknown_network(name, model, known, "timm has no network")
    return _architecture(model)


def _recognised(shapes: Shapes, hints: Mapping[str, Any]) -> Sequence[Architecture]:
    """Return the network that the file names, or those that have just these weights.

    Raises
    ------
    ArchitectureError
        There are several, and they compute different things.
    """
    if not may_classify_images(shapes, hints) or not is_installed("timm"):
        return []
    timm = _timm()
    said = _without_tag(str(hints.get("network")))
    if timm.is_model(said):
        return [_architecture(said)]
    found = {}
    for model in timm.list_models():
        arguments = fitting_arguments(functools.partial(_build, model), shapes, **_FREE)
        if arguments is not None:
            with on_meta():
                found[model] = function_of(_build(model, **arguments))
    if len(set(found.values())) > 1:
        more = f" and {len(found) - _MOST_LISTED} more" if len(found) > _MOST_LISTED else ""
        raise ArchitectureError(
            f"the weights fit {len(found)} networks of timm that do not compute the same, and nothing says "
            f"which one it is: {', '.join(list(found)[:_MOST_LISTED])}{more}; say --arch {PREFIX}NAME"
        )
    return [_architecture(model) for model in found]


def _without_tag(name: str) -> str:
    """Return a network's name without the tag of its weights and the place where they are.

    >>> _without_tag("hf_hub:timm/resnet50.a1_in1k"), _without_tag("resnet50d")
    ('resnet50', 'resnet50d')
    """
    return re.sub(r"^(hf[-_]hub:)?timm/", "", name).partition(".")[0]


def _architecture(model: str) -> Architecture:
    return Architecture(
        name=f"{PREFIX}{model}",
        factory=functools.partial(_build, model),
        recognise=functools.partial(_recognise, model=model),
        source=f"timm.create_model({model!r})",
        assumes=functools.partial(_assumes, model=model),
    )


def _recognise(shapes: Shapes, hints: Mapping[str, Any], *, model: str) -> Arguments | None:
    """Return the number of classes, of input channels, and the size of images."""
    with on_meta():
        expected = shapes_of(_build(model, num_classes=CLASSES))
    return free_arguments(expected, shapes, **_FREE)


def _assumes(arguments: Arguments, hints: Mapping[str, Any], *, model: str) -> tuple[str, ...]:
    timm = _timm()
    found = timm.get_pretrained_cfg(model)
    scaled = ""
    if found is not None:
        mean, std = (
            ",".join(f"{value:g}" for value in values) for values in (found.mean, found.std)
        )
        scaled = f"; timm's scripts normalise its pictures as --mean {mean} --std {std} does"
    return (
        f"timm {timm.__version__}'s own {model}: activations, pooling, padding and strides (weights do not "
        f"tell){scaled}",
    )


def _timm() -> Any:
    try:
        import timm  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise not_installed("timm", "timm") from error
    return timm


def _build(model: str, **arguments: Any) -> nn.Module:
    network: nn.Module = _timm().create_model(model, pretrained=False, **arguments)
    return network


FAMILY = Family(
    prefix=PREFIX,
    owner="timm's",
    package="timm",
    extra="timm",
    named=named,
    recognised=_recognised,
)
