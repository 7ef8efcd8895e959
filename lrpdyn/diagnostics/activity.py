"""What the units of each activation do for the observations: dead and dormant ones, effective rank.

All is gathered over forward passes that explanations make anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from lrpdyn.dynamics.similarity import CKA_SAMPLES, centred, effective_rank, packed
from lrpdyn.explain.loaded import LoadedNetwork
from lrpdyn.explain.model import batches
from lrpdyn.files.streamed import Samples
from lrpdyn.lrp.canonical.layers import Elementwise, Layer, Scaling, Weighted
from lrpdyn.lrp.plan import layers_of
from lrpdyn.observations.checked_samples import checked_samples, evenly_spaced

#: A unit is dead where the slope of its activation is below this for every sample.
SMALLEST_SLOPE = 0.01
#: A unit is dormant where its mean |activation| is at most this share of its layer's (Sokar et al. 2023).
DORMANT = 0.025
#: So many entries of the features are multiplied at once: in float64 they take twice the memory.
_ENTRIES = 1 << 14
#: What torch calls the activation whose slope is 1 where it gives anything.
_RELU = ("ReLU", "relu", "relu_")


def activation_layers(network: fx.GraphModule) -> dict[str, tuple[str, int]]:
    """Return the activations that follow a linear layer: activation -> linear layer, dimension of units.

    The units of a convolution are its channels, at all places, those of a Linear layer its features, in
    all rows that it is applied to. What comes before the first linear layer scales the observation and has
    no units.
    """
    modules = layers_of(network)
    found: dict[str, tuple[str, int]] = {}
    source: dict[fx.Node, Weighted] = {}
    names = {id(layer): name for name, layer in modules.items()}
    used: set[str] = set()
    for node in network.graph.nodes:
        if node.op != "call_module":
            continue
        inputs = [source[parent] for parent in node.all_input_nodes if parent in source]
        layer = modules[str(node.target)]
        if isinstance(layer, Weighted):
            source[node] = layer
        elif inputs:
            source[node] = inputs[0]
            if isinstance(layer, Elementwise) and not isinstance(layer, Scaling):
                # After a sum of branches, one layer may come before several activations.
                before = names[id(inputs[0])]
                name = str(node.target) if before in used else before
                used.add(name)
                found[str(node.target)] = (name, 1 if inputs[0].kind == "convolution" else -1)
    return found


class _Units:
    """What one activation did, batch by batch: `samples` of them give the features."""

    def __init__(self, along: int) -> None:
        self._along = along
        #: The output of a batch, (samples, units, places), and the largest slope of each unit, until `add`.
        self._pending: tuple[Tensor, Tensor] | None = None
        self.slopes: Tensor | None = None
        self._sizes = torch.zeros((), dtype=torch.float64)
        self._features: list[Tensor] | None = []

    def __call__(self, module: Layer, inputs: Any, output: Tensor) -> None:
        if self._pending is None:  # an explanation asks more than once for what its layers remember
            units, slopes = (
                self._by_unit(values.detach().movedim(module.samples_along, 0))
                for values in (output, _slopes(module, inputs, output))
            )
            self._pending = (units, slopes.amax(dim=(0, 2)))

    def _by_unit(self, values: Tensor) -> Tensor:
        """Return values (samples, ...) as (samples, units, places)."""
        return values.movedim(self._along, 1).flatten(2) if values.ndim > 2 else values[:, :, None]

    def forget_batch(self) -> None:
        self._pending = None

    def add(self, count: int, chosen: Sequence[int]) -> None:
        """Add the batch, of `count` samples; of those that are `chosen` the features are kept."""
        if self._pending is None:
            return
        units, slopes = self._pending
        self._pending = None
        self.slopes = slopes if self.slopes is None else torch.maximum(self.slopes, slopes)
        self._sizes = self._sizes + torch.linalg.vector_norm(units, 1, dim=(0, 2)).cpu().double()
        if len(units) != count:
            self._features = None  # what is of which sample is not known
        elif self._features is not None and chosen:
            self._features.append(units[list(chosen)].flatten(1))

    @property
    def dead(self) -> float:
        assert self.slopes is not None
        return float((self.slopes < SMALLEST_SLOPE).cpu().double().mean())

    @property
    def facts(self) -> dict[str, Any]:
        """The share of dormant units, the effective rank, and the Gram matrix that CKA needs."""
        sizes = self._sizes.numpy()
        dormant = float((sizes <= DORMANT * sizes.mean()).mean())
        known = sizes.size > 1 and bool(np.isfinite(sizes).all())
        gram = None if self._features is None else _gram(self._features)
        if gram is None or not np.isfinite(gram).all():
            return {"dormant": dormant if known else None, "rank": None, "gram": None}
        few = evenly_spaced(len(gram), CKA_SAMPLES)
        return {
            "dormant": dormant if known else None,
            "rank": effective_rank(gram) if known else None,
            "gram": packed(centred(gram[np.ix_(few, few)])),
        }


def _gram(features: Sequence[Tensor]) -> NDArray[np.float64]:
    """Return the products of all pairs of samples, in float64, of features (samples, entries) in parts."""
    samples = sum(len(part) for part in features)
    total = np.zeros((samples, samples))
    for start in range(0, features[0].shape[1], _ENTRIES):
        rows = torch.cat([part[:, start : start + _ENTRIES] for part in features]).double()
        if rows.is_cuda:
            total += (rows @ rows.T).cpu().numpy()
        else:
            plain = rows.numpy()
            total += plain @ plain.T  # of which NumPy computes one half
    return total


def _slopes(module: Layer, inputs: Any, output: Tensor) -> Tensor:
    """Return |slope| of an activation at each of its inputs; of a ReLU, what is 0 where it is."""
    if module.called in _RELU:
        return output.detach().sign()
    leaf = inputs[0].detach().clone().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(module.compute(leaf, *inputs[1:]).sum(), leaf)
    size: Tensor = slope.abs()
    return size


class Activity:
    """The units of a network, gathered over forward passes of others on `samples` observations."""

    def __init__(self, network: fx.GraphModule, samples: int) -> None:
        self._network, self._layers = network, activation_layers(network)
        self._checked = checked_samples(samples)
        self._done = 0
        self._units: dict[str, _Units] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at every forward pass of the network within, from nothing; `add` ends each batch."""
        self._done = 0
        self._units = {name: _Units(along) for name, (_, along) in self._layers.items()}
        handles = [
            self._network.get_submodule(name).register_forward_hook(hook)
            for name, hook in self._units.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def add(self, count: int) -> None:
        """Say that a batch is done, of the next `count` samples."""
        part = range(self._done, self._done + count)
        self._done = part.stop
        chosen = [sample - part.start for sample in self._checked if sample in part]
        for units in self._units.values():
            units.add(count, chosen)

    def forget_batch(self) -> None:
        """Forget the batch that is not done: it is given again, in smaller ones."""
        for units in self._units.values():
            units.forget_batch()

    def forget(self) -> None:
        """Forget what was seen: other weights are loaded."""
        self._units = {}

    @property
    def is_complete(self) -> bool:
        """Whether forward passes of all layers were seen."""
        return bool(self._units) and all(u.slopes is not None for u in self._units.values())

    def dead(self) -> dict[str, float]:
        """Return, by layer, the share of its units that no observation moves.

        A unit is dead where the slope of the activation that follows is below .01 for every sample (a
        ReLU below zero, a saturated tanh); a channel counts as one unit, dead where it is at every place.
        """
        return {self._layers[name][0]: units.dead for name, units in self._units.items()}

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return, by layer, what its units do; None where it is not finite or there is one unit only.

        ``dormant`` is the share of units whose mean |activation| over samples and places is at most .025
        of the mean over units (Sokar et al. 2023), ``rank`` the effective rank of the features, (samples,
        all entries), of at most 64 samples, and ``gram`` what `lrpdyn.dynamics.similarity.cka` compares.
        """
        return {self._layers[name][0]: units.facts for name, units in self._units.items()}


def activity_of(loaded: LoadedNetwork, observations: Samples) -> Activity:
    """Return what the units do for all observations."""
    activity = Activity(loaded.explained, len(observations))
    with activity.watching(), torch.no_grad():
        for part, x in batches(loaded.model, observations):
            loaded.explained(x)
            activity.add(part.stop - part.start)
    return activity
