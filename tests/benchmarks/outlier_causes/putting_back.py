"""Shapley values of layers for a change of explanations, by Zennit and nothing of lrpdyn."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, combinations, permutations
from math import factorial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from zennit.composites import LayerMapComposite
from zennit.rules import ZPlus

from tests.benchmarks.outlier_causes.training import State


def sequence(name: str, state: State) -> nn.Sequential:
    """Return the network as one sequence of layers; the mean of the outputs is taken off at the last."""
    relu = nn.ReLU
    layers: list[nn.Module]
    if name == "DigitsCNN":
        first, second = (state[f"{layer}.weight"].shape for layer in ("conv1", "conv2"))
        names = ["conv1", "conv2", "fc1", "fc2"]
        convolutions = [
            nn.Conv2d(first[1], first[0], 3, padding=1),
            nn.Conv2d(second[1], second[0], 3, stride=2, padding=1),
        ]
        linear = [nn.Linear(*reversed(state[f"{layer}.weight"].shape)) for layer in names[2:]]
        own = [*convolutions, *linear]
        layers = [own[0], relu(), own[1], relu(), nn.Flatten(), own[2], relu(), own[3]]
    else:
        names = ["first", "second", "last"]
        own = [nn.Linear(*reversed(state[f"{layer}.weight"].shape)) for layer in names]
        layers = [own[0], relu(), own[1], relu(), own[2]]
    with torch.no_grad():
        for layer, module in zip(names, own, strict=True):
            for kind, values in module.named_parameters():
                given = state[f"{layer}.{kind}"]
                values.copy_(given - given.mean(0) if layer == names[-1] else given)
    return nn.Sequential(*layers).double()


def relevance(name: str, state: State, inputs: Tensor) -> NDArray[np.float64]:
    """Return z-plus relevance of the preferred output, less the mean of all."""
    network = sequence(name, state)
    composite = LayerMapComposite([(nn.Linear, ZPlus()), (nn.Conv2d, ZPlus())])
    given = inputs.double().clone().requires_grad_()
    with composite.context(network) as explained:
        outputs = explained(given)
        chosen = outputs.detach().argmax(1, keepdim=True)
        kept = torch.zeros_like(outputs).scatter(1, chosen, outputs.detach().gather(1, chosen))
        (found,) = torch.autograd.grad(outputs, given, kept)
    return found.numpy()


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The share of a change that goes away with each layer put back alone, and its Shapley value."""

    alone: dict[str, float]
    shapley: dict[str, float]


def parts(name: str, before: State, after: State, inputs: Tensor) -> Parts:
    """Put every set of layers back to the weights before.

    A change is the median over inputs of the sum of absolute differences, as of a step of a report.
    """
    layers = list(dict.fromkeys(entry.rpartition(".")[0] for entry in after))
    start = relevance(name, before, inputs)
    change = {}
    for back in chain.from_iterable(combinations(layers, n) for n in range(len(layers) + 1)):
        mixed = {
            entry: (before if entry.rpartition(".")[0] in back else after)[entry] for entry in after
        }
        differences = np.abs(relevance(name, mixed, inputs) - start)
        change[frozenset(back)] = float(np.median(differences.reshape(len(inputs), -1).sum(axis=1)))
    whole = change[frozenset()]
    shapley = dict.fromkeys(layers, 0.0)
    for order in permutations(layers):
        for number, layer in enumerate(order):
            gain = change[frozenset(order[:number])] - change[frozenset(order[: number + 1])]
            shapley[layer] += gain / whole / factorial(len(layers))
    return Parts(
        alone={layer: 1 - change[frozenset([layer])] / whole for layer in layers}, shapley=shapley
    )
