"""Dead units, which pass nothing on for any observation, found by one forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx

from lrpdyn.explain.loaded import LoadedNetwork
from lrpdyn.explain.model import batches
from lrpdyn.files.streamed import Samples
from lrpdyn.lrp.canonical.layers import Elementwise, Layer, Scaling, Weighted
from lrpdyn.lrp.plan import layers_of

#: A unit is dead where the slope of its activation is below this for every sample.
SMALLEST_SLOPE = 0.01
#: What torch calls the activation whose slope is 1 where it gives anything.
_RELU = ("ReLU", "relu", "relu_")


def activation_layers(network: fx.GraphModule) -> dict[str, str]:
    """Return the activations that follow a linear layer: activation -> linear layer.

    What comes before the first linear layer scales the observation and has no units.
    """
    modules = layers_of(network)
    found: dict[str, str] = {}
    source: dict[fx.Node, str] = {}
    for node in network.graph.nodes:
        if node.op != "call_module":
            continue
        name = str(node.target)
        inputs = [source[parent] for parent in node.all_input_nodes if parent in source]
        layer = modules[name]
        if isinstance(layer, Weighted):
            source[node] = name
        elif inputs:
            source[node] = inputs[0]
            if isinstance(layer, Elementwise) and not isinstance(layer, Scaling):
                # After a sum of branches, one layer may come before several activations.
                found[name] = inputs[0] if inputs[0] not in found.values() else name
    return found


class _Slopes:
    """For each unit of an activation, the largest slope over the samples so far."""

    def __init__(self) -> None:
        self.largest: Tensor | None = None
        self._seen: Tensor | None = None

    def __call__(self, module: Layer, inputs: Any, output: Tensor) -> None:
        if output is self._seen:
            return  # an explanation asks more than once for what its layers remember
        self._seen = output
        # A unit is a channel: what it does at one place it does at all.
        slopes = _slopes(module, inputs, output)
        most = slopes.amax(dim=[0, *range(2, slopes.ndim)])
        self.largest = most if self.largest is None else torch.maximum(self.largest, most)

    @property
    def dead(self) -> float:
        assert self.largest is not None
        return float((self.largest < SMALLEST_SLOPE).cpu().double().mean())


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
    """The units of a network that observations move, gathered over forward passes of others."""

    def __init__(self, network: fx.GraphModule) -> None:
        self._network, self._layers = network, activation_layers(network)
        self._slopes: dict[str, _Slopes] | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at every forward pass of the network within, from nothing."""
        self._slopes = slopes = {name: _Slopes() for name in self._layers}
        handles = [
            self._network.get_submodule(name).register_forward_hook(hook)
            for name, hook in slopes.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def forget(self) -> None:
        """Forget what was seen: other weights are loaded."""
        self._slopes = None

    def dead(self) -> dict[str, float] | None:
        """Return what `dead_units` does, or None where no pass was seen."""
        if self._slopes is None or any(hook.largest is None for hook in self._slopes.values()):
            return None
        return {self._layers[name]: hook.dead for name, hook in self._slopes.items()}


def dead_units(loaded: LoadedNetwork, observations: Samples) -> dict[str, float]:
    """Return, by layer, the share of its units that no observation moves.

    A unit is dead where the slope of the activation that follows is below .01 for every sample (a
    ReLU below zero, a saturated tanh); a channel counts as one unit, dead where it is at every place.
    """
    activity = Activity(loaded.explained)
    with activity.watching(), torch.no_grad():
        for _, x in batches(loaded.model, observations):
            loaded.explained(x)
    return activity.dead() or {}
