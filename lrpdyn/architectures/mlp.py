"""Multilayer perceptrons: chains of Linear layers, whose activation is not in their weights."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import nn

from lrpdyn.architectures.model import Architecture, Arguments
from lrpdyn.checkpoints.model import Shapes
from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.canonical.operations import ACTIVATION_MODULES

#: Activations of torch.nn by their names in lower case.
ACTIVATIONS: dict[str, type[nn.Module]] = {
    kind.__name__.lower(): kind for kind in (*ACTIVATION_MODULES, nn.Identity)
}
_LONGEST = 200


def activation(text: Any) -> nn.Module:
    """Return the activation of torch.nn that `text` names, in any case: ``tanh``, ``LeakyReLU(0.3)``.

    Raises
    ------
    ArchitectureError
        There is none, or `text` is None: nobody said which it is.
    """
    if text is None:
        raise ArchitectureError(
            "the activation of the hidden layers is neither in the weights nor in the file; say which "
            "one training had, such as --arch-arg activation=tanh or --arch-arg activation=relu"
        )
    name, values, options = _call_of(str(text))
    kind = ACTIVATIONS.get(name.lower())
    # In place it computes the same.
    options.pop("inplace", None)
    try:
        if kind is None:
            raise ValueError
        found = kind(*values, **options)
        if hasattr(found, "inplace"):
            setattr(found, "inplace", False)  # noqa: B010, of a class that is not known here
        found(torch.zeros(1))
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise ArchitectureError(
            f"activation {str(text)[:_LONGEST]} is none of torch.nn with plain arguments, and what it "
            "computes is not known; give the network with --arch FILE.py:CALLABLE, or say --arch-arg "
            f"activation=NAME, where NAME is one of {', '.join(ACTIVATIONS)}, with its arguments if it "
            "has some, such as LeakyReLU(0.3)"
        ) from error
    return found


def _call_of(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Return what `text` calls, and the numbers, words and truth values that it is called with.

    >>> _call_of("LeakyReLU(0.3)"), _call_of("GELU(approximate='tanh')"), _call_of("ReLU")
    (('LeakyReLU', [0.3], {}), ('GELU', [], {'approximate': 'tanh'}), ('ReLU', [], {}))
    """
    try:
        node = ast.parse(text[: _LONGEST + 1], mode="eval").body
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(text) <= _LONGEST:
            values = [_plain(value) for value in node.args]
            return node.func.id, values, {str(k.arg): _plain(k.value) for k in node.keywords}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    return text, [], {}


def _plain(node: ast.expr) -> Any:
    value = ast.literal_eval(node)
    if not isinstance(value, int | float | str | bool):
        raise ValueError("no plain value")
    return value


def activation_of(hints: Mapping[str, Any]) -> Arguments:
    """Return the argument `activation` as the checkpoint's file says it.

    There is none where the file has the policy's options and they leave it at its default; it is
    None where nothing says it.

    Examples
    --------
    >>> activation_of({"activation": "Tanh"}), activation_of({"activation": "ELU(alpha=0.5)"})
    ({'activation': 'tanh'}, {'activation': 'ELU(alpha=0.5)'})
    >>> activation_of({"metadata": True}), activation_of({})
    ({}, {'activation': None})
    """
    said = hints.get("activation")
    if said is None and hints.get("metadata"):
        return {}
    if isinstance(said, str) and said.lower() in ACTIVATIONS:
        said = said.lower()
    return {"activation": said}


def perceptron(
    sizes: list[int],
    function: str | None,
    *,
    ends_in_activation: bool = False,
    places: Sequence[int] | None = None,
) -> nn.Sequential:
    """Return Linear layers of `sizes` (inputs first) with an activation after each but the last.

    `places` are the numbers of the layers in the keys; 0, 2, 4, ... where not given.

    Raises
    ------
    ArchitectureError
        It has activations, and `function` is None or none that is known.
    """
    chain = nn.Sequential()
    numbers = range(0, 2 * len(sizes), 2) if places is None else places
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=2):
        place = numbers[number - 2]
        chain.add_module(str(place), nn.Linear(inputs, outputs))
        if ends_in_activation or number < len(sizes):
            chain.add_module(str(place + 1), activation(function))
    return chain


def _places(shapes: Shapes, prefix: str) -> list[int]:
    """Return the numbers of the Linear layers in the keys, of which Flatten or Dropout may take some."""
    pattern = re.compile(re.escape(f"{prefix}." if prefix else "") + r"(\d+)\.weight")
    return sorted(
        int(m[1]) for key in shapes if (m := pattern.fullmatch(key)) and shapes[key] != (1,)
    )


def chain_sizes(shapes: Shapes, prefix: str) -> list[int] | None:
    """Return the sizes of the Linear layers ``prefix.0``, ``prefix.2``, ..., or None if no chain.

    The one weight of a PReLU between them is no layer.
    """
    start = f"{prefix}." if prefix else ""
    pattern = re.compile(re.escape(start) + r"(\d+)\.weight")
    named = {int(m[1]): shapes[key] for key in shapes if (m := pattern.fullmatch(key))}
    found = {index: shape for index, shape in named.items() if shape != (1,)}
    if not found or any(len(shape) != 2 for shape in found.values()):
        return None
    weights = [found[index] for index in sorted(found)]
    sizes = [weights[0][1], *(shape[0] for shape in weights)]
    return sizes if [shape[1] for shape in weights] == sizes[:-1] else None


class MLP(nn.Module):
    """One perceptron for each prefix of the state dict's keys."""

    _HEADS: ClassVar[dict[str, str]] = {"actor": "policy", "critic": "value"}

    def __init__(
        self, layers: dict[str, list[int]], activation: str | None = None,
        places: dict[str, list[int]] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._prefixes = {self._HEADS.get(prefix, "logits"): prefix for prefix in layers}
        if len(self._prefixes) < len(layers):
            self._prefixes = {prefix: prefix for prefix in layers}
        self.heads = tuple(self._prefixes)
        for prefix, sizes in layers.items():
            chain = perceptron(sizes, activation, places=(places or {}).get(prefix))
            for name, module in [(prefix, chain)] if prefix else chain.named_children():
                self.add_module(name, module)

    def path(self, head: str) -> nn.Module:
        """Return the perceptron of `head`, for observations of any shape."""
        prefix = self._prefixes[head]
        chain = [self.get_submodule(prefix)] if prefix else list(self.children())
        return nn.Sequential(nn.Flatten(), *chain)


def _recognise(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    prefixes = dict.fromkeys(key.rpartition(".")[0].rpartition(".")[0] for key in shapes)
    layers = {prefix: chain_sizes(shapes, prefix) for prefix in prefixes if "." not in prefix}
    if not layers or len(layers) < len(prefixes) or None in layers.values():
        return None
    places = {prefix: _places(shapes, prefix) for prefix in layers}
    if any(b - a < 2 for found in places.values() for a, b in pairwise(found)):
        return None  # no activation lies between two of them
    usual = all(found == list(range(0, 2 * len(found), 2)) for found in places.values())
    return {"layers": layers, **({} if usual else {"places": places}), **activation_of(hints)}


def _assumes(arguments: Arguments, hints: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        "nothing but the activation lies between the linear layers, and nothing follows the last",
    )


ARCHITECTURE = Architecture(
    name="mlp",
    factory=MLP,
    recognise=_recognise,
    source="a chain of torch.nn.Linear layers",
    assumes=_assumes,
)
