"""Measures of the maps of random networks, to compare those of the run's maps with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lrpdyn.diagnostics.sanity_checks import Weights
from lrpdyn.dynamics.measures import entropy
from lrpdyn.dynamics.one_step import OfRandom
from lrpdyn.explain.explanation import Question, explain_parts
from lrpdyn.explain.loaded import other_weights
from lrpdyn.explain.model import Model, batch_slices
from lrpdyn.files.streamed import Samples, pieces
from lrpdyn.observations.regions import Regions, shares
from lrpdyn.outliers.facts import Floats

#: Entropy (N,), and the shares of regions (R, N), of one network's maps.
OfNetwork = tuple[Floats, Floats]


def measure_network(
    model: Model,
    observations: Samples,
    question: Question,
    network: Weights,
    regions: Regions | None,
) -> OfNetwork:
    """Return what is measured on the maps of one random network, made and measured by batches.

    What is not learned, such as a running mean of observations, is what the model has now.
    """
    with other_weights(model, network, "a random network") as loaded:
        maps = (part.relevance for part in explain_parts(loaded, observations, question))
        chosen = batch_slices(model, len(observations))
        measured = [_measured(*pair, regions) for pair in zip(maps, chosen, strict=True)]
    entropies, parts = zip(*measured, strict=True)
    return np.concatenate(entropies), np.concatenate(parts, axis=1)


def mean_of_networks(found: Sequence[OfNetwork], regions: Regions | None) -> OfRandom | None:
    """Return the means over networks of what was measured; None where there are no networks."""
    if not found:
        return None
    entropies, parts = zip(*found, strict=True)
    return OfRandom(
        entropy=np.mean(entropies, axis=0),
        shares=None if regions is None else np.mean(parts, axis=0),
    )


def _measured(
    maps: NDArray[np.float32], chosen: slice, regions: Regions | None
) -> tuple[Floats, Floats]:
    """Return the entropy (n,) and the shares of regions (R, n) of the maps of a batch."""
    of_regions = np.zeros((0, len(maps))) if regions is None else shares(maps, regions.part(chosen))
    # A few samples at a time: in float64 a batch takes as much memory as explaining it did.
    return np.concatenate([entropy(piece) for piece in pieces(maps)]), of_regions
