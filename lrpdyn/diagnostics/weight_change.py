"""The weights of each layer at a step, and how far they moved from the two checkpoints before it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lrpdyn.checkpoints.digests import USUAL
from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.dynamics.step_table import SKETCHED
from lrpdyn.errors import ArchitectureError, CheckpointError
from lrpdyn.explain.loaded import LoadedNetwork, load
from lrpdyn.explain.model import Model

Weights = Mapping[str, tuple[Tensor, ...]]
#: By layer, its tensors, flat.
Copies = Mapping[str, Sequence[Tensor]]
Lengths = Mapping[str, float]

#: The layer that a layer's buffers are, such as the running mean and variance of a BatchNorm.
STATISTICS = "{} statistics"
#: How many entries of a tensor a sketch is made of, at most.
_PICKED = 256

_BLOCK = 1024
_PART = 1 << 18


def layers_with_weights(
    network: nn.Module, path: nn.Module, *, whole_numbers: bool = False
) -> dict[str, tuple[Tensor, ...]]:
    """Return the weights of each layer that the path to the head goes through.

    Parameters
    ----------
    network
        The whole network, whose names the layers get: those of the checkpoint.
    path
        The module from the observation to the outputs, made of layers of `network`.
    whole_numbers
        With buffers that are no floating-point numbers, such as a mask, or how many batches were counted.

    Returns
    -------
    dict
        By layer, its floating-point parameters; and, as a layer of their own (`STATISTICS`), its
        buffers, such as the running mean and variance of a BatchNorm. Not copied.
    """
    # What is no part of a checkpoint, such as an input that is fixed, is no weight.
    stored = {id(tensor) for tensor in network.state_dict(keep_vars=True).values()}
    used = {id(tensor) for tensor in (*path.parameters(), *path.buffers())} & stored
    found: dict[str, tuple[Tensor, ...]] = {}
    for name, module in network.named_modules():
        name = name or "weights"
        for layer, own in (
            (name, module.named_parameters(recurse=False)),
            (STATISTICS.format(name), module.named_buffers(recurse=False)),
        ):
            tensors = tuple(
                t.detach()
                for _, t in own
                if id(t) in used and (whole_numbers or t.is_floating_point())
            )
            if tensors:
                found[layer] = tensors
    return found


def statistics_of(network: nn.Module, weights: Weights) -> dict[str, Any]:
    """Return the modules that keep a running mean and variance, of which `weights` has the statistics."""
    return {
        name or "weights": module
        for name, module in network.named_modules()
        if STATISTICS.format(name or "weights") in weights
        and isinstance(getattr(module, "running_mean", None), Tensor)
        and isinstance(getattr(module, "running_var", None), Tensor)
    }


class Sketches:
    """A sketch of all weights: SKETCHED numbers whose distances estimate the distances of the weights.

    Of each tensor at most 256 evenly spread entries are projected on signs that depend on the layer
    and the place of the tensor in it alone (Achlioptas 2003), and scaled by the share that is left out.
    """

    def __init__(self, weights: Weights) -> None:
        self._entries: dict[str, list[Tensor]] = {}
        self._signs: dict[str, list[NDArray[np.int8]]] = {}
        for name, own in weights.items():
            self._entries[name] = [_spread(tensor.numel(), tensor.device) for tensor in own]
            self._signs[name] = [
                _signs(f"{name}:{place}", len(entries))
                for place, entries in enumerate(self._entries[name])
            ]

    def of(self, weights: Weights) -> list[float] | None:
        """Return the sketch of weights, or None where they are not finite."""
        total = np.zeros(SKETCHED)
        for name, own in weights.items():
            for tensor, entries, signs in zip(
                own, self._entries[name], self._signs[name], strict=True
            ):
                picked = tensor.reshape(-1)[entries].cpu().double().numpy()
                share = tensor.numel() / max(len(picked), 1)
                with np.errstate(invalid="ignore", over="ignore"):
                    total += math.sqrt(share / SKETCHED) * (picked @ signs.astype(np.float64))
        # Nine digits are all that float32 weights have.
        return [float(f"{v:.9g}") for v in total] if np.isfinite(total).all() else None


def _spread(count: int, device: torch.device) -> Tensor:
    """Return the places of at most `_PICKED` evenly spread entries, of `count`."""
    chosen = min(count, _PICKED)
    return torch.arange(chosen, device=device) * count // max(chosen, 1)


def _signs(seed: str, count: int) -> NDArray[np.int8]:
    """Return signs (count, SKETCHED), the same with every version of everything."""
    content = hashlib.shake_256(seed.encode()).digest(count * SKETCHED // 8)
    bits = np.unpackbits(np.frombuffer(content, dtype=np.uint8)).reshape(count, SKETCHED)
    return 2 * bits.astype(np.int8) - 1


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """A checkpoint: copies of its weights and what is known of them; nothing where it is gone."""

    step: int
    digest: str | None = None
    copies: Copies | None = None
    norm: Lengths = field(default_factory=dict)
    fresh: frozenset[str] = frozenset()
    batches: Mapping[str, int] = field(default_factory=dict)


class WeightHistory:
    """The weights of the two checkpoints before the one that is loaded."""

    def __init__(self, model: Model, *, trust: bool, algorithm: str = USUAL) -> None:
        self._model, self._trust, self._algorithm = model, trust, algorithm
        self._loaded = layers_with_weights(model.network, model.path)
        self._statistics = statistics_of(model.network, self._loaded)
        self._sketches = Sketches(self._loaded)
        #: The nearest first, two at most.
        self._kept: tuple[_Kept, ...] = ()

    def set_before(self, before: Sequence[Checkpoint]) -> None:
        """Keep the weights of these, the nearest first; load those that were not loaded here."""
        if [checkpoint.step for checkpoint in before] != [kept.step for kept in self._kept]:
            self._kept = tuple(self._read(checkpoint) for checkpoint in before)

    def _read(self, checkpoint: Checkpoint) -> _Kept:
        try:
            loaded = load(self._model, checkpoint, trust=self._trust, algorithm=self._algorithm)
        except (CheckpointError, ArchitectureError, OSError):
            return _Kept(step=checkpoint.step)  # what it would tell is unavailable
        copies, (norm,) = measured(self._loaded, ())
        return self._now(checkpoint.step, loaded.digest, copies, norm)

    def _now(self, step: int, digest: str | None, copies: Copies, norm: Lengths) -> _Kept:
        fresh = frozenset(name for name, layer in self._statistics.items() if _is_fresh(layer))
        counted = (
            (n, getattr(s, "num_batches_tracked", None)) for n, s in self._statistics.items()
        )
        batches = {name: int(count) for name, count in counted if count is not None}
        return _Kept(
            step=step, digest=digest, copies=copies, norm=norm, fresh=fresh, batches=batches
        )

    def advance(self, loaded: LoadedNetwork) -> tuple[dict[str, Any], list[str]]:
        """Compare the loaded weights with those before; these are the ones before from now on.

        Returns
        -------
        dict
            By layer ``norm``, ||loaded||; ``change``, ||loaded - before|| / ||before||, with
            ``from_step``, None at the first, and ``from_digest`` of its weights; ``back``,
            ||loaded - two before||, with ``back_step``; None where the checkpoint is gone, a number
            where it is finite. ``sketch`` as of `Sketches.of`. ``reset``, the layers whose statistics
            are those of a fresh layer, or whose counted batches fell, though before they were not.
        list
            The layers whose loaded weights are not finite.
        """
        loaded.check()
        none = _Kept(step=0)
        before, back = (*self._kept, none, none)[:2]
        copies, (norm, moved, far) = measured(self._loaded, (before.copies, back.copies))
        now = self._now(loaded.step, loaded.digest, copies, norm)
        change = {
            name: _share(length, before.norm.get(name, 0.0)) for name, length in moved.items()
        }
        steps = [kept.step for kept in self._kept]
        self._kept = (now, *self._kept[:1])
        return {
            "from_step": steps[0] if steps else None,
            "from_digest": before.digest,
            "change": None if before.copies is None else change,
            "norm": _finite(norm),
            "back_step": steps[1] if len(steps) > 1 else None,
            "back": None if back.copies is None else _finite(far),
            "sketch": self._sketches.of(self._loaded),
            "reset": [] if before.copies is None else _reset(before, now),
        }, not_finite(norm)


def _is_fresh(layer: Any) -> bool:
    return bool((layer.running_mean == 0).all()) and bool((layer.running_var == 1).all())


def _reset(before: _Kept, now: _Kept) -> list[str]:
    """Return the layers whose statistics began anew since the checkpoint before."""
    fell = {name for name, count in now.batches.items() if count < before.batches.get(name, count)}
    return sorted(now.fresh - before.fresh | fell)


def measured(
    loaded: Weights, others: Sequence[Copies | None]
) -> tuple[dict[str, list[Tensor]], list[dict[str, float]]]:
    """Return copies of the weights, each tensor flat and in the machine's own memory, and lengths.

    By layer, its weights and bias as one vector: ||loaded||, and ||loaded - other|| for each of
    `others`, which may be None. The copies take the memory of the last of them: new memory for millions
    of weights would take longer than the arithmetic.
    """
    copies: dict[str, list[Tensor]] = {}
    lengths: list[dict[str, float]] = [{} for _ in range(1 + len(others))]
    for name, own in loaded.items():
        parts: list[list[float]] = []
        copies[name] = []
        for place, tensor in enumerate(own):
            new = tensor.reshape(-1).cpu()
            old = [None if other is None else other[name][place] for other in others]
            into = old[-1] if old and old[-1] is not None else torch.empty_like(new)
            copies[name].append(into)
            # In parts that stay in a core's cache: of millions of weights, the way to memory is what counts.
            for start in range(0, len(new), _PART):
                part = slice(start, start + _PART)
                now = new[part]
                away = [math.nan if was is None else _length(now - was[part]) for was in old]
                parts.append([_length(now), *away])
                into[part].copy_(now)
        for of, values in zip(lengths, zip(*parts, strict=True), strict=True):
            of[name] = math.hypot(*values)
    return copies, lengths


def _share(difference: float, length: float) -> float | None:
    share = difference / length if length > 0 else (0.0 if difference == 0 else math.inf)
    return share if share < math.inf else None


def _finite(lengths: Lengths) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in lengths.items()}


def not_finite(known: Lengths) -> list[str]:
    """Return the layers whose weights have NaN or infinity, by their lengths."""
    return [name for name, length in known.items() if not math.isfinite(length)]


def _length(tensor: Tensor) -> float:
    """Return the Euclidean norm of all entries, to float32's precision whatever their number."""
    whole = len(tensor) // _BLOCK * _BLOCK
    parts = []
    if whole:
        # Blocks in their own type, their sum in float64: all in float64 took six times as long, and all
        # in float32 loses digits by the million.
        of_blocks = torch.linalg.vector_norm(tensor[:whole].view(-1, _BLOCK), dim=1).double()
        parts.append(float(torch.linalg.vector_norm(of_blocks)))
    if whole < len(tensor):
        parts.append(float(torch.linalg.vector_norm(tensor[whole:], dtype=torch.float64)))
    length = math.hypot(*parts)
    if math.isfinite(length):
        return length
    # Squares of large finite entries pass the end of float32.
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64))
