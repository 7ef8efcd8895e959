"""What is measured on the maps of random networks, to be read beside what is measured on the run's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dependence import Weights, holding
from lrpdyn.explanation import Model, Question, explain
from lrpdyn.measures import entropy
from lrpdyn.records import OfRandom
from lrpdyn.regions import Regions, shares


def measure_random(
    model: Model,
    observations: NDArray[np.float32],
    question: Question,
    networks: Sequence[Weights],
    regions: Regions | None,
) -> OfRandom | None:
    """Return the entropy and the shares of regions of random networks' maps, means over networks.

    None where there are no networks.
    """
    if not networks:
        return None
    entropies, parts = [], []
    for weights in networks:
        with holding(model, weights):
            maps = explain(model, observations, question).relevance
        entropies.append(entropy(maps))
        if regions is not None:
            parts.append(shares(maps, regions))
    return OfRandom(np.mean(entropies, axis=0), np.mean(parts, axis=0) if parts else None)
