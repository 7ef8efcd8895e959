"""How far each layer's weights moved between two checkpoints, and which of them are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.errors import ArchitectureError, CheckpointError
from lrpdyn.explain.loaded import LoadedNetwork, load
from lrpdyn.explain.model import Model

Weights = Mapping[str, tuple[Tensor, ...]]

_BLOCK = 1024
_PART = 1 << 18


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
    # What is no part of a checkpoint, such as an input that is fixed, is no weight.
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
    kept = {"memory_format": torch.contiguous_format}
    return {name: tuple(tensor.clone(**kept) for tensor in own) for name, own in weights.items()}


def lengths(weights: Weights) -> dict[str, float]:
    """Return ||weights|| of each layer, its weights and bias as one vector."""
    return {name: _norm(own) for name, own in weights.items()}


def advance(kept: Weights, loaded: Weights, before: Mapping[str, float]) -> dict[str, float | None]:
    """Return how far each layer moved, ||loaded - kept|| / ||kept||, and keep what is loaded.

    Weights and bias are one vector; what counts is not (whole numbers). None where that is not a
    finite number: a layer that was zero, or NaN in its weights. `kept` is changed in place: new
    memory for millions of weights would take longer than the arithmetic.

    Parameters
    ----------
    before
        The `lengths` of `kept`, known since it was loaded.
    """
    found: dict[str, float | None] = {}
    for name, own in loaded.items():
        differences = []
        for old, new in zip(kept[name], own, strict=True):
            differences.append(_moved(old, new))
        difference, length = math.hypot(*differences), before[name]
        share = difference / length if length > 0 else (0.0 if difference == 0 else float("inf"))
        found[name] = share if share < float("inf") else None
    return found


def _moved(old: Tensor, new: Tensor) -> float:
    """Return ||new - old|| of one tensor, and copy `new` into `old`."""
    if not old.is_floating_point():
        old.copy_(new)
        return 0.0
    # In parts that stay in a core's cache: of millions of weights, the way to memory is what counts.
    before, after, parts = old.view(-1), new.reshape(-1), []
    for start in range(0, len(before), _PART):
        was, now = before[start : start + _PART], after[start : start + _PART]
        parts.append(_length((now - was).cpu()))
        was.copy_(now)
    return math.hypot(*parts)


def not_finite(known: Mapping[str, float]) -> list[str]:
    """Return the layers whose weights have NaN or infinity, by their `lengths`."""
    return [name for name, length in known.items() if not math.isfinite(length)]


def _norm(tensors: tuple[Tensor, ...]) -> float:
    return math.hypot(*(_length(t.detach().cpu()) for t in tensors if t.is_floating_point()))


def _length(tensor: Tensor) -> float:
    """Return the Euclidean norm of all entries, to float32's precision whatever their number."""
    flat = tensor.reshape(-1)
    whole = len(flat) // _BLOCK * _BLOCK
    # Blocks in their own type, their sum in float64: all in float64 took six times as long, and all
    # in float32 loses digits by the million.
    of_blocks = torch.linalg.vector_norm(flat[:whole].view(-1, _BLOCK), dim=1).double()
    of_rest = torch.linalg.vector_norm(flat[whole:], dtype=torch.float64)
    length = math.hypot(float(torch.linalg.vector_norm(of_blocks)), float(of_rest))
    if math.isfinite(length):
        return length
    # Squares of large finite entries pass the end of float32.
    return float(torch.linalg.vector_norm(flat, dtype=torch.float64))


class WeightHistory:
    """The weights of the checkpoint before the one that is loaded."""

    def __init__(self, model: Model, *, trust: bool) -> None:
        self._model, self._trust = model, trust
        self._loaded = layers_with_weights(model.network, model.path)
        self._step: int | None = None
        self._sha256: str | None = None
        self._weights: Weights | None = None
        self._lengths: dict[str, float] = {}

    def set_before(self, before: Checkpoint | None) -> None:
        """Keep the weights of `before`; they are loaded where another run explained it."""
        if before is None:
            self._step = self._sha256 = self._weights = None
        elif before.step != self._step:
            self._step, self._sha256, self._weights = before.step, None, None
            try:
                self._sha256 = load(self._model, before, trust=self._trust).sha256
            except (CheckpointError, ArchitectureError, OSError):
                return  # what it would tell is unavailable
            self._weights, self._lengths = copied(self._loaded), lengths(self._loaded)

    def advance(self, loaded: LoadedNetwork) -> tuple[dict[str, Any], list[str]]:
        """Compare the loaded weights with those before; these are the ones before from now on.

        Returns
        -------
        dict
            ``from_step``, None at the first, and ``from_sha256`` of its weights; ``change`` by layer,
            ||difference|| / ||before||, None where the checkpoint before is gone.
        list
            The layers whose loaded weights are not finite.
        """
        loaded.check()
        change, before = None, {"from_step": self._step, "from_sha256": self._sha256}
        if self._weights is None:
            self._weights = copied(self._loaded)
        else:
            change = advance(self._weights, self._loaded, self._lengths)
        self._step, self._sha256 = loaded.step, loaded.sha256
        self._lengths = lengths(self._loaded)
        return {**before, "change": change}, not_finite(self._lengths)
