"""Where relevance went, layer by layer, at one step: what absorbed it, what divided it by nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrpdyn.diagnostics.at_each_step import layer_names
from lrpdyn.explain.explanation import Question, rows_of
from lrpdyn.explain.loaded import LoadedNetwork
from lrpdyn.explain.model import batches
from lrpdyn.lrp.attribution import Propagated, explain
from lrpdyn.lrp.canonical.layers import Weighted
from lrpdyn.outliers.criteria import VANISHED

Floats = NDArray[np.float64]

#: A denominator is next to nothing below this share of the root mean square of its layer's outputs,
#: if it carries at least so many times as much relevance: a small unit of little relevance is sound.
SMALL, CARRIED = 1e-3, 10.0
#: So many samples are traced at once, at most: what every layer did to them is in memory.
AT_ONCE = 16


@dataclass(frozen=True)
class Trace:
    """What the layers did to the relevance of N samples at one step, the last layer first.

    Attributes
    ----------
    layers, rules
        The K layers by their names in the checkpoint, and the rule of each.
    came, went
        (K, N): sum|R| of each layer's output and of its inputs.
    kept
        (K, N): sum R of its inputs over sum R of its output; NaN where that is zero.
    small
        (K, N): the share of |R| that came through a denominator of less than a thousandth of the
        root mean square of the layer's outputs, and of less than a tenth of the relevance; NaN for
        a rule or a layer that does not divide so.
    """

    layers: tuple[str, ...]
    rules: tuple[str, ...]
    came: Floats
    went: Floats
    kept: Floats
    small: Floats

    def vanished_at(self, sample: int) -> int | None:
        """Return the layer that absorbed all relevance of a sample, if one did."""
        came, went = self.came[:, sample], self.went[:, sample]
        gone = (came > 0) & (went <= VANISHED * came[0])
        return int(gone.argmax()) if gone.any() else None

    def smallest_at(self, sample: int) -> tuple[int, float]:
        """Return the layer through whose small denominators most came, and the share."""
        shares = np.nan_to_num(self.small[:, sample])
        return int(shares.argmax()), float(shares.max())

    def most_lost_at(self, sample: int) -> tuple[int, float]:
        """Return the layer that lost or made most relevance, and its sum R of inputs over outputs."""
        away = np.abs(np.nan_to_num(self.kept[:, sample], nan=1.0) - 1)
        layer = int(away.argmax())
        return layer, float(self.kept[layer, sample])


def trace(loaded: LoadedNetwork, observations: NDArray[np.float32], question: Question) -> Trace:
    """Return what every layer did when all samples are explained.

    `question` has a target for each sample. Of each batch only the numbers are kept.
    """
    loaded = loaded.with_batch_size(min(loaded.model.batch_size, AT_ONCE))
    model = loaded.model
    names = layer_names(model)
    layers: list[str] = []
    rules: list[str] = []
    parts: list[list[Tensor]] = []
    for chosen, x in batches(model, observations):
        rows = partial(rows_of, loaded, x, question.part(chosen))
        done = explain(loaded.explained, model.plan, x, rows, keep=True).layers
        layers = list(done)[::-1]
        rules = [done[layer].rule.text for layer in layers]
        parts.append(
            [
                torch.stack([of(done[layer]) for layer in layers])
                for of in (_came, _went, _kept, small_share)
            ]
        )
    came, went, kept, small = (
        torch.cat(column, dim=1).double().numpy() for column in zip(*parts, strict=True)
    )
    return Trace(
        layers=tuple(names.get(layer, layer) for layer in layers),
        rules=tuple(rules), came=came, went=went, kept=kept, small=small,
    )  # fmt: skip


def _came(done: Propagated) -> Tensor:
    return _size(done.relevance_output)


def _went(done: Propagated) -> Tensor:
    return torch.stack([_size(share) for share in done.relevance_inputs]).sum(dim=0)


def _size(relevance: Tensor) -> Tensor:
    return relevance.cpu().double().abs().flatten(1).sum(dim=1)


def _kept(done: Propagated) -> Tensor:
    came = done.relevance_output.cpu().double().flatten(1).sum(dim=1)
    went = sum(share.cpu().double().flatten(1).sum(dim=1) for share in done.relevance_inputs)
    assert isinstance(went, Tensor)
    return torch.where(came != 0, went / torch.where(came != 0, came, 1.0), torch.nan)


def small_share(done: Propagated) -> Tensor:
    """Return the share of a layer's |R| that is divided by next to nothing, (N,)."""
    found = denominators(done)
    size = done.relevance_output.cpu().double().abs().flatten(1)
    if found is None:
        return torch.full_like(size[:, 0], torch.nan)
    outputs = done.call.output.cpu().double()
    # Over all samples: of a layer with one output a sample's own mean says nothing.
    usual = outputs.square().mean().sqrt()
    divisor = found.cpu().double().abs().flatten(1)
    small = (divisor < SMALL * usual) & (size > CARRIED * divisor)
    total = size.sum(dim=1)
    return (size * small).sum(dim=1) / torch.where(total > 0, total, 1.0)


def denominators(done: Propagated) -> Tensor | None:
    """Return what a rule divides the relevance of each output by, or None for other rules."""
    divides = done.rule.denominator
    if divides is None or not isinstance(done.call.layer, Weighted):
        return None
    return divides(done.call)
