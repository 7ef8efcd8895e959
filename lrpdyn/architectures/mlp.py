"""Multilayer perceptrons: chains of Linear layers, whose activation is not in their weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

from torch import nn

from lrpdyn.architectures.model import Architecture, Arguments
from lrpdyn.checkpoints.model import Shapes
from lrpdyn.errors import ArchitectureError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    kind.__name__.lower(): kind
    for kind in (nn.ReLU, nn.Tanh, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid)
}


def activation(name: str) -> nn.Module:
    """Return the activation module called `name`, in any case.

    Raises
    ------
    ArchitectureError
        There is no such activation; the message lists them.
    """
    kind = ACTIVATIONS.get(name.lower())
    if kind is None:
        raise ArchitectureError(
            f"no activation is called '{name}'; expected one of {', '.join(ACTIVATIONS)}"
        )
    return kind()


def activation_of(hints: Mapping[str, Any]) -> Arguments:
    """Return the argument `activation` where the checkpoint's file says it, else none.

    Examples
    --------
    >>> activation_of({"activation": "Tanh"}), activation_of({})
    ({'activation': 'tanh'}, {})
    """
    return {"activation": hints["activation"].lower()} if "activation" in hints else {}


def perceptron(
    sizes: list[int], function: str, *, ends_in_activation: bool = False
) -> nn.Sequential:
    """Return Linear layers of `sizes` (inputs first) with an activation after each but the last."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation(function)]
    return nn.Sequential(*(layers if ends_in_activation else layers[:-1]))


def chain_sizes(shapes: Shapes, prefix: str) -> list[int] | None:
    """Return the sizes of the Linear layers ``prefix.0``, ``prefix.2``, ..., or None if no chain."""
    start = f"{prefix}." if prefix else ""
    pattern = re.compile(re.escape(start) + r"(\d+)\.weight")
    found = {int(m[1]): shapes[key] for key in shapes if (m := pattern.fullmatch(key))}
    if not found or any(len(shape) != 2 for shape in found.values()):
        return None
    weights = [found[index] for index in sorted(found)]
    sizes = [weights[0][1], *(shape[0] for shape in weights)]
    return sizes if [shape[1] for shape in weights] == sizes[:-1] else None


class MLP(nn.Module):
    """One perceptron for each prefix of the state dict's keys."""

    _HEADS: ClassVar[dict[str, str]] = {"actor": "policy", "critic": "value"}

    def __init__(self, layers: dict[str, list[int]], activation: str | None = None) -> None:
        super().__init__()
        if activation is None:
            raise ArchitectureError(
                "a plain MLP's activation is not in its weights; say which it was trained with, "
                "such as --arch-arg activation=tanh or --arch-arg activation=relu"
            )
        self._prefixes = {self._HEADS.get(prefix, "logits"): prefix for prefix in layers}
        if len(self._prefixes) < len(layers):
            self._prefixes = {prefix: prefix for prefix in layers}
        self.heads = tuple(self._prefixes)
        for prefix, sizes in layers.items():
            chain = perceptron(sizes, activation)
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
    return {"layers": layers, **activation_of(hints)}


ARCHITECTURE = Architecture(
    name="mlp", factory=MLP, recognise=_recognise, source="a chain of torch.nn.Linear layers"
)
