"""Operations of torch that are short for others, spelled out.

Each function takes what the operation takes and is called with tensors or with a tracer's proxies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Extreme(NamedTuple):
    """What ``max(dim)`` gives: the largest values. Their places have no relevance and are not given."""

    values: Tensor
    indices: None = None


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """Return input + value tensor1 tensor2."""
    product = tensor1 * tensor2
    return input + (product if value == 1 else product * value)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """Return input + value tensor1 / tensor2."""
    quotient = tensor1 / tensor2
    return input + (quotient if value == 1 else quotient * value)


def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """Return beta input + alpha batch1 @ batch2."""
    product = batch1 @ batch2
    return (input if beta == 1 else input * beta) + (product if alpha == 1 else product * alpha)


def where(condition: Tensor, input: Any, other: Any) -> Tensor:
    """Return the input where the condition holds, which must be a constant, and the other elsewhere."""
    if not isinstance(other, Tensor):
        filled: Tensor = input.masked_fill(~condition, other)
        return filled
    if not isinstance(input, Tensor):
        return other.masked_fill(condition, input)
    return input.masked_fill(~condition, 0) + other.masked_fill(condition, 0)


def _where_of(input: Tensor, condition: Tensor, other: Any) -> Tensor:
    return where(condition, input, other)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Return the input in the shape of the other, repeated where that is longer."""
    return input.expand(other.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """Return the entries of the input in the shape of the other."""
    return input.reshape(other.shape)


def square(input: Tensor) -> Tensor:
    """Return the squares."""
    return input**2


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Return one half of the input, weighed by the sigmoid of the other."""
    signal, gate = input.chunk(2, dim)
    return signal * torch.sigmoid(gate)


def rsub(input: Tensor, other: Any, *, alpha: float = 1) -> Tensor:
    """Return other - alpha input."""
    difference: Tensor = other - (input if alpha == 1 else input * alpha)
    return difference


def softmin(input: Tensor, dim: int, *_: Any, **__: Any) -> Tensor:
    """Return the softmax of the input with its sign changed."""
    return torch.softmax(-input, dim)


def largest(input: Tensor, dim: int, keepdim: bool = False) -> Extreme:
    """Return the largest values along a dimension."""
    return Extreme(values=input.amax(dim, keepdim))


def var_mean(input: Tensor, *arguments: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """Return the variance and the mean."""
    dim = options.get("dim", arguments[0] if arguments else None)
    return input.var(*arguments, **options), input.mean(dim, options.get("keepdim", False))


def std_mean(input: Tensor, *arguments: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """Return the standard deviation and the mean."""
    dim = options.get("dim", arguments[0] if arguments else None)
    return input.std(*arguments, **options), input.mean(dim, options.get("keepdim", False))


SHORT_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.addcmul: addcmul, torch.addcdiv: addcdiv, torch.baddbmm: baddbmm, torch.where: where,
    torch.square: square, F.glu: glu, torch.rsub: rsub, F.softmin: softmin,
    torch.var_mean: var_mean, torch.std_mean: std_mean,
}  # fmt: skip
SHORT_METHODS: dict[str, Callable[..., Any]] = {
    "addcmul": addcmul, "addcmul_": addcmul, "addcdiv": addcdiv, "addcdiv_": addcdiv,
    "baddbmm": baddbmm, "where": _where_of, "expand_as": expand_as, "reshape_as": reshape_as,
    "view_as": reshape_as, "square": square, "square_": square,
}  # fmt: skip
SHORT_MODULES: dict[type[nn.Module], Callable[..., Any]] = {
    nn.GLU: lambda module, x: glu(x, module.dim),
    nn.Softmin: lambda module, x: softmin(x, module.dim),
}
