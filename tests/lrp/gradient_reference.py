"""LRP-0 of any network a second time: input times gradient of the untouched network.

No tracing and no layers: torch's functions are replaced while the network runs, so that a
non-linearity is a product with f(x) / x, which is held fixed, and a normalisation has a fixed scale.
A BatchNorm is linear right behind a linear layer, as one with it, and elsewhere relevance passes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_SMOOTH = {F.gelu, F.silu, F.elu, F.tanh, torch.tanh, torch.sigmoid, F.softplus, F.hardswish}
_LINEAR = {F.linear, F.conv1d, F.conv2d, torch.conv1d, torch.conv2d}


def _held(x: Tensor, y: Tensor) -> Tensor:
    """Return y as x times a constant."""
    slope = torch.where(x == 0, 0, y / torch.where(x == 0, 1, x)).detach()
    return x * slope + (y - x * slope).detach()


def _normalised(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    scale = (x.var(dims, correction=0, keepdim=True) + eps).sqrt().detach()
    return (x - x.mean(dims, keepdim=True)) / scale


class _Replaced(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.linear: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.layer_norm:
            (x, shape), (weight, bias, eps) = args, (kwargs[k] for k in ("weight", "bias", "eps"))
            return _normalised(x, tuple(range(-len(shape), 0)), eps) * weight + bias
        if func is F.group_norm:
            (x, groups), (weight, bias, eps) = args, (kwargs[k] for k in ("weight", "bias", "eps"))
            plain = _normalised(x.reshape(len(x), groups, -1), (2,), eps).reshape(x.shape)
            by_channel = (1, -1, *[1] * (x.ndim - 2))
            return plain * weight.reshape(by_channel) + bias.reshape(by_channel)
        found = func(*args, **kwargs)
        if func in _SMOOTH:
            return _held(args[0], found)
        if func is F.batch_norm and not any(args[0] is y for y in self.linear):
            return _held(args[0], found)
        if func in _LINEAR:
            self.linear.append(found)
        return found


def lrp0_reference(network: nn.Module, x: Tensor, rows: Tensor) -> Tensor:
    """Return the relevance of each entry of `x` for the scores that `rows` (N, K) make of the outputs."""
    leaf = x.clone().requires_grad_()
    with _Replaced():
        outputs = network(leaf)
    (gradient,) = torch.autograd.grad((outputs * rows).sum(), leaf)
    return (leaf * gradient).detach()
