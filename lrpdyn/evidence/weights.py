"""How far each layer's weights moved between two checkpoints, and which of them are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

Weights = Mapping[str, tuple[Tensor, ...]]


def layers_with_weights(network: nn.Module, path: nn.Module) -> dict[str, tuple[Tensor, ...]]:
    """Return the weights of each layer that the path to the head goes through.

    Parameters
    ----------
    network
        The whole network, whose names the layers get: those of the checkpoint.
    path
        The module from the observation to the outputs, made of layers of `network`.

    Returns
    -------
    dict
        By layer, its parameters and buffers (a BatchNorm's statistics), not copied.
    """
    # What is no part of a checkpoint, such as an input that is held fixed, is no weight.
    stored = {id(tensor) for tensor in network.state_dict(keep_vars=True).values()}
    used = {id(tensor) for tensor in (*path.parameters(), *path.buffers())} & stored
    found: dict[str, tuple[Tensor, ...]] = {}
    for name, module in network.named_modules():
        own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        tensors = tuple(tensor.detach() for _, tensor in own if id(tensor) in used)
        if tensors:
            found[name or "weights"] = tensors
    return found


def copied(weights: Weights) -> dict[str, tuple[Tensor, ...]]:
    """Return a copy that stays as it is when another checkpoint is loaded."""
    return {name: tuple(tensor.clone() for tensor in own) for name, own in weights.items()}


def advance(held: Weights, loaded: Weights) -> dict[str, float | None]:
    """Return how far each layer moved, ||loaded - held|| / ||held||, and hold what is loaded.

    Weights and bias are one vector; what counts is not (whole numbers). None where that is not a
    finite number: a layer that was zero, or NaN in its weights. `held` is changed in place: new
    memory for millions of weights would take longer than the arithmetic.
    """
    found: dict[str, float | None] = {}
    for name, own in loaded.items():
        length = _norm(held[name])
        for old, new in zip(held[name], own, strict=True):
            old.sub_(new)
        difference = _norm(held[name])
        for old, new in zip(held[name], own, strict=True):
            old.copy_(new)
        share = difference / length if length > 0 else (0.0 if difference == 0 else float("inf"))
        found[name] = share if share < float("inf") else None
    return found


def not_finite(weights: Weights) -> list[str]:
    """Return the layers whose weights hold NaN or infinity."""
    return [name for name, own in weights.items() if not all(_is_finite(tensor) for tensor in own)]


def _is_finite(tensor: Tensor) -> bool:
    # A finite sum has finite terms, and takes a tenth of the time of looking at each.
    if not tensor.is_floating_point() or bool(torch.isfinite(tensor.sum())):
        return True
    return bool(torch.isfinite(tensor).all())


def _norm(tensors: tuple[Tensor, ...]) -> float:
    # Sums in float64 without a copy: float32 weights by the million lose digits otherwise.
    lengths = [
        float(torch.linalg.vector_norm(tensor.cpu(), dtype=torch.float64))
        for tensor in tensors
        if tensor.is_floating_point()
    ]
    return math.hypot(*lengths)
