"""Networks that are built for the shapes of their weights alone, without memory for these."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from lrpdyn.architectures.model import Arguments
from lrpdyn.checkpoints.model import Shapes
from lrpdyn.errors import UsageError

#: A number of classes that is no size of anything else: where it is in a shape, the classes are.
CLASSES = 7919
#: What image classifiers call their last layer.
_LAST = re.compile(r"(fc|heads?|classif|last_linear|aux_head)[\w.]*\.weight")
#: AlexNet has the fewest weights of all.
_FEWEST = 16
#: So many of a network's weights may be replaced while it is built.
_REPLACED = 8


class _Numbers(TorchFunctionMode):
    """Small tables that a network's sizes are computed from have values, whatever the device is."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        options = dict(kwargs or {})
        tables = (torch.arange, torch.linspace, torch.tensor)
        if func in tables and options.get("device") is None:
            options["device"] = "cpu"
        return func(*args, **options)


@contextmanager
def on_meta() -> Iterator[None]:
    """Allocate and initialise no weights of the networks that are built within, however large."""
    with torch.device("meta"), _Numbers():
        yield


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shape of each entry of the state dict."""
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def may_classify_images(shapes: Shapes, hints: Mapping[str, Any]) -> bool:
    """Tell by the keys whether these may be a large image classifier's, before a package is imported.

    What has a configuration of Hugging Face's is recognised by that.

    >>> may_classify_images({"0.weight": (32, 4, 8, 8), "7.weight": (512, 3136)}, {})
    False
    """
    if "config" in hints and "network" not in hints:
        return False
    convolves = any(len(shape) == 4 for shape in shapes.values())
    return len(shapes) >= _FEWEST and convolves and any(map(_LAST.match, shapes))


class OtherSizesError(Exception):
    """A network has weights of sizes that the checkpoint has not."""


def built_like(
    build: Callable[[], nn.Module], shapes: Shapes, *, replaced: int = _REPLACED
) -> nn.Module:
    """Return the network on "meta".

    So many weights may be `replaced` by others while it is built. The number of classes, if it is
    `CLASSES`, and the size of images may be others than those of `shapes`.

    Raises
    ------
    OtherSizesError
        As soon as its weights have sizes that `shapes` has not, or are more.
    """
    sizes, met, foreign = set(shapes.values()), 0, 0

    def check(module: nn.Module, name: str, weight: Tensor | None) -> None:
        nonlocal met, foreign
        if weight is None:
            return
        size = tuple(weight.shape)
        met += 1
        foreign += size not in sizes and CLASSES not in size and not _is_table(size)
        if met > 2 * len(shapes) + _REPLACED:  # some are set once more by what initialises them
            raise OtherSizesError(f"it has more weights than these {len(shapes)}")
        if foreign > replaced:
            raise OtherSizesError(f"it has a {name} of shape {size}, and they have none")

    handle = register_module_parameter_registration_hook(check)  # type: ignore[arg-type]
    try:
        with on_meta():
            return build()
    finally:
        handle.remove()


def free_arguments(
    expected: Shapes, shapes: Shapes, *, size: str = "", channels: str = ""
) -> Arguments | None:
    """Return the arguments that shapes tell of a network that was built for `CLASSES` classes.

    Parameters
    ----------
    size, channels
        What the network calls the size of its images and their number of channels, where it takes
        them; square images are assumed by the table of their patches' positions.

    Returns
    -------
    dict or None
        None where no weights follow the number of classes. Other shapes are not compared.

    Examples
    --------
    >>> free_arguments({"fc.weight": (7919, 8)}, {"fc.weight": (10, 8)})
    {'num_classes': 10}
    """
    found: Arguments = {}
    for key, wanted in expected.items():
        given = shapes.get(key, ())
        axes = [
            axis for axis, pair in enumerate(zip(wanted, given, strict=False)) if pair[0] != pair[1]
        ]
        if len(given) == len(wanted) and CLASSES in wanted:
            found["num_classes"] = given[wanted.index(CLASSES)]
        elif len(given) != len(wanted) or axes != [1]:
            continue
        elif size and _is_table(wanted):
            patch = next((s[-1] for s in expected.values() if len(s) == 4 and s[0] == wanted[2]), 0)
            side = math.isqrt(given[1] - (wanted[1] - math.isqrt(wanted[1]) ** 2))
            found[size] = side * patch
        elif channels and len(wanted) == 4 and wanted[1] == 3:
            found[channels] = given[1]
    return found if "num_classes" in found else None


def fitting_arguments(
    build: Callable[..., nn.Module], shapes: Shapes, *, size: str = "", channels: str = ""
) -> Arguments | None:
    """Return the arguments with which `build` gives a network of just these shapes, or None.

    See `free_arguments` for the parameters.
    """
    try:
        expected = shapes_of(built_like(partial(build, num_classes=CLASSES), shapes))
        if expected.keys() != shapes.keys():
            return None
        arguments = free_arguments(expected, shapes, size=size, channels=channels)
        if arguments is None:
            return None
        with on_meta():
            return arguments if shapes_of(build(**arguments)) == shapes else None
    except (OtherSizesError, TypeError, ValueError, RuntimeError, AssertionError):
        return None  # the last four: of a size that it does not take


def _is_table(shape: tuple[int, ...]) -> bool:
    """Tell whether weights may be a table of positions (1, positions, features)."""
    return len(shape) == 3 and shape[0] == 1


def function_of(network: nn.Module) -> tuple[object, ...]:
    """Return all but the weights that a network's outputs follow from: its modules and their settings.

    Two networks of equal functions compute the same; those of others may.
    """
    return tuple(
        (name, type(module).__qualname__, str(sorted(_settings(vars(module)).items())))
        for name, module in network.named_modules()
    )


def _settings(attributes: Mapping[str, Any]) -> dict[str, str]:
    weights_or_training = re.compile(
        r"_(parameters|buffers|modules|model_args)|training|.*drop.*|.*_cfg|grad_checkpointing"
    )
    return {
        name: repr(value)
        for name, value in attributes.items()
        if not weights_or_training.fullmatch(name)
    }


def not_installed(package: str, extra: str) -> UsageError:
    """Return the error that says how to install the package that a network is from."""
    return UsageError(
        f"{package}, which this network is from, is not installed: pip install 'lrpdyn[{extra}]'"
    )
