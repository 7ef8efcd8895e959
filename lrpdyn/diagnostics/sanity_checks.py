"""What a run's maps depend on: the weights at all, the unit that is explained, the upper layers.

Low similarity to random networks is no merit by itself: maps of random networks may be unlike each
other too, so that similarity is given next to theirs. Adebayo et al. 2018, "Sanity checks for
saliency maps"; Sixt et al. 2020, "When explanations lie".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lrpdyn.dynamics.measures import cosines
from lrpdyn.explain.explanation import Explanation, Question, chosen_samples, explain
from lrpdyn.explain.loaded import LoadedNetwork, other_weights
from lrpdyn.explain.model import Model, batches
from lrpdyn.files.streamed import Samples
from lrpdyn.lrp.canonical.layers import CONVOLUTIONS, Weighted
from lrpdyn.lrp.canonical.operations import BATCH_NORMS
from lrpdyn.lrp.plan import layers_of
from lrpdyn.observations.checked_samples import checked_samples
from lrpdyn.system.randomness import seeded

Observations = NDArray[np.float32]
Weights = dict[str, torch.Tensor]


def random_weights(model: Model, seed: int) -> Weights:
    """Return the weights of the architecture as it is before training, by its own initialisation.

    They are its parameters and the statistics of its BatchNorm; other buffers, such as a running
    mean of observations or the atoms of a distribution, are no part of what is learned and stay
    those of the checkpoint. The random state of the process stays as it was.
    """
    with seeded(seed):
        network = model.resolved.build()
        initialise = getattr(network, "initialise", None)
        if initialise is not None:
            initialise()
    norms = [module for module in network.modules() if isinstance(module, BATCH_NORMS)]
    statistics = {id(buffer) for norm in norms for buffer in norm.buffers()}
    # A state dict may have other names than the network has.
    return {
        key: tensor.detach()
        for key, tensor in network.state_dict(keep_vars=True).items()
        if isinstance(tensor, nn.Parameter) or id(tensor) in statistics
    }


def with_statistics(model: Model, weights: Weights, observations: Observations) -> Weights:
    """Return weights whose BatchNorm has the statistics of these observations, in place of none.

    Those of a fresh network, mean 0 and variance 1, let activations fade or grow from layer to layer.
    A pass in training mode gathers them; of the other layers only what they do at evaluation is used. A
    batch of one sample is left out, for it may have one value only.
    """
    own = {id(t): key for key, t in model.network.state_dict(keep_vars=True).items()}
    norms = [
        module
        for module in model.network.modules()
        if isinstance(module, BATCH_NORMS) and own.get(id(module.running_mean)) in weights
    ]
    if not norms:
        return weights
    momenta = [norm.momentum for norm in norms]
    with other_weights(model, weights, "a random network") as loaded, torch.no_grad():
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.train().momentum = None  # means over batches
            for _, x in batches(model, observations):
                if len(x) > 1:
                    loaded.path(x)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.eval().momentum = momentum
        state = model.network.state_dict()
        return {key: state[key].clone() if key in state else w for key, w in weights.items()}


def upper_layers(model: Model) -> list[str]:
    """Return the keys of the weights of the upper layers.

    These are the Linear layers of a convolutional network, and the upper half of the layers of
    another.
    """
    weighted = [
        layer for layer in layers_of(model.explained).values() if isinstance(layer, Weighted)
    ]
    convolutional = [isinstance(layer.module, CONVOLUTIONS) for layer in weighted]
    first = len(weighted) // 2
    if any(convolutional) and not all(convolutional):
        first = len(convolutional) - convolutional[::-1].index(True)
    upper = {id(tensor) for layer in weighted[first:] for tensor in layer.sources()}
    named = model.network.state_dict(keep_vars=True)
    return [key for key, tensor in named.items() if id(tensor) in upper]


def dependence(
    loaded: LoadedNetwork, observations: Samples, question: Question, fresh: Sequence[Weights]
) -> dict[str, Any]:
    """Return what the maps of a step depend on.

    Parameters
    ----------
    observations
        (N, ...); `lrpdyn.observations.checked_samples.checked_samples` are checked.
    question
        The run's; where it fixes no target, that of the step is fixed for random networks.
    fresh
        The weights of K random networks (`random_weights`), and one set more, whose upper layers are
        those that take the place of the model's.

    Returns
    -------
    dict
        ``random`` and ``random_to_random``: absolute cosines to the maps of freshly initialised
        networks, and of these to each other; ``best_to_worst``: cosines of R / score of the best
        and the worst unit of an action (of most and of least size, where units do not compete);
        ``upper_layers``: absolute cosines to the map with these re-initialised.
        Each has its median and the values that 5 and 95 % lie below, over samples and networks;
        null where there is nothing to compare.
    """
    samples = checked_samples(len(observations))
    checked, shown, asked = chosen_samples(loaded, observations, question, samples)
    own = explain(checked, shown, asked)
    fixed = replace(asked, targets=own.target)
    randoms = []
    for weights in fresh[:-1]:
        with other_weights(checked.model, weights, "a random network") as random:
            randoms.append(explain(random, shown, fixed).relevance)
    upper = set(upper_layers(checked.model))
    others = {key: value for key, value in fresh[-1].items() if key in upper}
    others = with_statistics(checked.model, others, shown)
    with other_weights(checked.model, others, "random upper layers") as changed:
        without = explain(changed, shown, fixed).relevance
    to_random = [np.abs(cosines(own.relevance, other)) for other in randoms]
    among = [np.abs(cosines(a, b)) for a, b in combinations(randoms, 2)]
    return {
        "random": _spread(to_random),
        "random_to_random": _spread(among),
        "best_to_worst": _spread([best_to_worst(checked, shown, own, question)]),
        "upper_layers": _spread([np.abs(cosines(own.relevance, without))]),
    }


def best_to_worst(
    loaded: LoadedNetwork, shown: Observations, own: Explanation, question: Question
) -> NDArray[np.float64]:
    """Return the cosines (N,) of R / score of the best and the worst unit; none where there are no two.

    `own` is the answer to the question, under the same rule: where it explains the best unit, as it does
    unless a target is given, it is not explained once more.
    """
    model_units, count = loaded.model.units, own.outputs.shape[1]
    largest = max(model_units.groups or (count,))
    if count < 2 or (largest == 2 and question.contrast != "none"):
        return np.zeros(0)  # of two units less each other, one map is the other's negative
    preferred, least = model_units.best_and_worst(own.outputs, question.group)
    best = own
    if question.runner_up is not None or not np.array_equal(preferred, own.target):
        best = explain(loaded, shown, Question(contrast=question.contrast, targets=preferred))
    worst = explain(loaded, shown, Question(contrast=question.contrast, targets=least))
    # The worst unit's score lies below the mean: in shares of the score, R / f, its sign is nothing.
    sign = np.sign(best.score * worst.score)
    return sign * cosines(best.relevance, worst.relevance)


def _spread(values: list[NDArray[np.float64]]) -> dict[str, float | None]:
    """Return the median of the values that are not NaN, and what 5 and 95 % of them lie below."""
    finite = [value[np.isfinite(value)] for value in values]
    known = np.concatenate(finite) if finite else np.zeros(0)
    if len(known) == 0:
        return {"median": None, "low": None, "high": None}
    low, median, high = (float(q) for q in np.quantile(known, [0.05, 0.5, 0.95]))
    return {"median": median, "low": low, "high": high}
