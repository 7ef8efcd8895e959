"""Which network the weights belong to: by name, by recognition, or the user's own."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.architectures import catch, cleanrl, mlp, sb3
from lrpdyn.architectures.model import (
    UNKNOWN,
    Architecture,
    Arguments,
    Preprocessing,
    never,
)
from lrpdyn.checkpoints.model import Header, Shapes
from lrpdyn.errors import ArchitectureError, UsageError

ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        *sb3.ARCHITECTURES,
        *cleanrl.ARCHITECTURES,
        catch.ARCHITECTURE,
        mlp.ARCHITECTURE,
    )
}


@dataclass(frozen=True)
class Resolved:
    """An architecture with its arguments filled in."""

    architecture: Architecture
    arguments: Arguments

    def build(self) -> nn.Module:
        """Return a new network.

        Raises
        ------
        ArchitectureError
            The factory does not take these arguments, or gives no network.
        """
        try:
            network = self.architecture.factory(**self.arguments)
        except TypeError as error:
            raise ArchitectureError(
                f"architecture {self.architecture.name} does not take {self.arguments}: {error}; "
                "give its arguments with --arch-arg KEY=VALUE"
            ) from error
        if not isinstance(network, nn.Module):
            raise ArchitectureError(
                f"architecture {self.architecture.name} gave a {type(network).__name__}, expected "
                "a torch.nn.Module"
            )
        return network.eval()


def register_architecture(
    name: str,
    factory: Callable[..., nn.Module],
    *,
    recognise: Callable[[Shapes, Mapping[str, Any]], Arguments | None] = never,
    preprocessing: Preprocessing = UNKNOWN,
    source: str = "",
) -> None:
    """Make `name` known to ``--arch`` and, with `recognise`, to recognition.

    See `lrpdyn.architectures.model.Architecture` for the parameters.

    Raises
    ------
    ValueError
        The name is taken.
    """
    if name in ARCHITECTURES:
        raise ValueError(f"an architecture is called '{name}' already")
    ARCHITECTURES[name] = Architecture(name, factory, recognise, preprocessing, source)


def parse_arguments(pairs: tuple[str, ...]) -> Arguments:
    """Read ``KEY=VALUE`` pairs; values are Python literals, or else text."""
    arguments: Arguments = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key.isidentifier():
            raise UsageError(f"--arch-arg '{pair}': expected KEY=VALUE, such as activation=tanh")
        try:
            arguments[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            arguments[key] = value
    return arguments


def resolve(name: str | None, given: Arguments, header: Header, where: str) -> Resolved:
    """Return the architecture called `name`, or the one whose weights these are.

    Raises
    ------
    UsageError
        No architecture has this name.
    ArchitectureError
        No architecture fits the weights; the message shows what was seen.
    """
    if name is not None:
        architecture = _named(name)
        read = architecture.recognise(header.shapes, header.hints)
        if read is None and architecture.recognise is not never and not given:
            raise ArchitectureError(
                f"{where}: these are not the weights of architecture {name}: {_seen(header.shapes)}; "
                "leave --arch out to have it recognised, or give another"
            )
        resolved = Resolved(_as_hinted(architecture, header), {**(read or {}), **given})
        check_fit(resolved, header.shapes, where)
        return resolved
    nearest: ArchitectureError | None = None
    for architecture in ARCHITECTURES.values():
        recognised = architecture.recognise(header.shapes, header.hints)
        if recognised is None:
            continue
        resolved = Resolved(_as_hinted(architecture, header), {**recognised, **given})
        differing = _differing(_shapes_of(resolved), header.shapes)
        if not differing:
            return resolved
        nearest = nearest or _misfit(resolved, differing, where)
    if nearest is not None:
        raise nearest
    raise ArchitectureError(
        f"{where}: no registered architecture has these weights: {_seen(header.shapes)}; give your own with "
        "--arch FILE.py:CALLABLE (a function or class that returns the torch.nn.Module)"
    )


def check_fit(resolved: Resolved, shapes: Shapes, where: str) -> None:
    """Raise ArchitectureError, with the differing keys, unless keys and shapes are the same."""
    differing = _differing(_shapes_of(resolved), shapes)
    if differing:
        raise _misfit(resolved, differing, where)


def load_weights(
    network: nn.Module, weights: Mapping[str, Tensor], resolved: Resolved, where: str
) -> None:
    """Copy `weights` into `network`, in place.

    Raises
    ------
    ArchitectureError
        Keys or shapes differ.
    """
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    differing = _differing(expected, {key: tuple(value.shape) for key, value in weights.items()})
    if differing:
        raise _misfit(resolved, differing, where)
    network.load_state_dict(weights)


def heads_of(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the outputs that can be explained, the default first."""
    return tuple(getattr(network, "heads", ("logits",)))


def path_of(network: nn.Module, head: str | None) -> tuple[str, nn.Module]:
    """Return the name of the head and the module from the observation to its outputs.

    Raises
    ------
    UsageError
        The network has no such head.
    """
    heads = heads_of(network)
    chosen = heads[0] if head is None else head
    if chosen not in heads:
        raise UsageError(f"--head {chosen}: the network's heads are {', '.join(heads)}")
    path = getattr(network, "path", None)
    return chosen, network if path is None else path(chosen)


def _seen(shapes: Shapes) -> str:
    """Return the first ten keys with their shapes."""
    seen = ", ".join(f"{key} {shape}" for key, shape in list(shapes.items())[:10])
    return f"{seen} and {len(shapes) - 10} more" if len(shapes) > 10 else seen


def _as_hinted(architecture: Architecture, header: Header) -> Architecture:
    """Respect ``normalize_images=False``: the network then saw pixels of 0..255."""
    if header.hints.get("normalize_images") is False and architecture.preprocessing.expected:
        unscaled = Preprocessing(1.0, (0.0, 255.0))
        return Architecture(
            architecture.name,
            architecture.factory,
            architecture.recognise,
            unscaled,
            architecture.source,
        )
    return architecture


def _named(name: str) -> Architecture:
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if ":" not in name:
        raise UsageError(
            f"no architecture is called '{name}'; expected {', '.join(ARCHITECTURES)}, or your own "
            "as MODULE:CALLABLE or FILE.py:CALLABLE"
        )
    place, _, attribute = name.rpartition(":")
    factory = getattr(_module(place), attribute, None)
    if not callable(factory):
        raise UsageError(f"--arch {name}: {place} has nothing to call named '{attribute}'")
    return Architecture(name, factory, never, UNKNOWN, place)


def _module(place: str) -> Any:
    try:
        if not place.endswith(".py"):
            if os.getcwd() not in sys.path:
                sys.path.insert(0, os.getcwd())
            return importlib.import_module(place)
        specification = importlib.util.spec_from_file_location(Path(place).stem, place)
        if specification is None or specification.loader is None:
            raise ImportError("not a Python file")
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module
    except (ImportError, OSError, SyntaxError) as error:
        raise UsageError(f"--arch: {place} cannot be imported: {error}") from error


def _shapes_of(resolved: Resolved) -> dict[str, tuple[int, ...]]:
    # On "meta" nothing is allocated or initialised, however large the network is.
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in resolved.build().state_dict().items()}


def _differing(expected: Shapes, found: Shapes) -> list[str]:
    lines = []
    for key in [*expected, *(key for key in found if key not in expected)]:
        if expected.get(key) != found.get(key):
            wanted = expected.get(key, "nothing")
            lines.append(f"{key} expected {wanted}, found {found.get(key, 'nothing')}")
    return lines


def _misfit(resolved: Resolved, differing: list[str], where: str) -> ArchitectureError:
    more = f"; and {len(differing) - 10} more" if len(differing) > 10 else ""
    return ArchitectureError(
        f"{where}: the weights do not fit architecture {resolved.architecture.name}: "
        f"{'; '.join(differing[:10])}{more}; give another with --arch"
    )
