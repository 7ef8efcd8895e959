"""Modules that a canonised network is made of, beside torch's own linear layers.

Each is a leaf with one call, so that Captum finds it and a rule can be attached to it. They are
not subclasses of ``nn.ReLU`` and the like: Captum replaces the rule of those by its own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

#: The layers that mix their inputs with weights; the chosen rule is theirs.
LINEAR_LAYERS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


class _Call(nn.Module):
    """A module that calls a function; the function's own modules stay hidden from Captum."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        # A tuple keeps nn.Module from registering a wrapped module as a child.
        self._function = (function,)

    def forward(self, x: Tensor, *arguments: object, **options: object) -> Tensor:
        output: Tensor = self._function[0](x, *arguments, **options)
        return output


class Elementwise(_Call):
    """An activation, or scaling and shifting of the input by constants: relevance passes through."""


class Rearrangement(_Call):
    """Entries in another order or shape (flatten, view, permute): relevance goes back to its place."""


class MaximumPooling(_Call):
    """The largest entry of a window: relevance goes to the winner, which torch's gradient names."""


class AveragePooling(_Call):
    """The mean of a window: relevance is shared in proportion to the contributions."""


def apply_linear(layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return what `layer` would give for `x` with another weight and bias."""
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        convolved: Tensor = layer._conv_forward(x, weight, bias)
        return convolved
    if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        functions = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
        return functions[len(layer.kernel_size)](
            x,
            weight,
            bias,
            layer.stride,
            layer.padding,  # type: ignore[arg-type]  # text is refused by the constructor
            layer.output_padding,
            layer.groups,
            layer.dilation,
        )
    raise TypeError(f"{type(layer).__name__} is not a linear layer")
