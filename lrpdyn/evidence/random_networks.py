"""What is measured on the maps of random networks, to be read beside what is measured on the run's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dependence import Weights, holding
from lrpdyn.explanation import Model, Question, batch_slices, explain_parts
from lrpdyn.measured import OfRandom
from lrpdyn.measures import entropy
from lrpdyn.outliers.facts import Floats
from lrpdyn.regions import Regions, shares
from lrpdyn.streamed import Samples, pieces
from lrpdyn.workers import in_order


def measure_random(
    model: Model,
    observations: Samples,
    question: Question,
    networks: Sequence[Weights],
    regions: Regions | None,
    workers: int = 1,
) -> OfRandom | None:
    """Return the entropy and the shares of regions of random networks' maps, means over networks.

    None where there are no networks. Maps are made and measured a batch at a time, networks by as
    many processes as there are workers.
    """
    if not networks:
        return None

    def of_network(number: int) -> tuple[Floats, Floats]:
        with holding(model, networks[number]):
            maps = (part.relevance for part in explain_parts(model, observations, question))
            chosen = batch_slices(model, len(observations))
            measured = [_measured(*pair, regions) for pair in zip(maps, chosen, strict=True)]
        entropies, parts = zip(*measured, strict=True)
        return np.concatenate(entropies), np.concatenate(parts, axis=1)

    numbers = range(len(networks))
    found = list(in_order(of_network, numbers, min(workers, len(networks))))
    entropies, parts = zip(*found, strict=True)
    mean = np.mean(parts, axis=0) if regions is not None else None
    return OfRandom(np.mean(entropies, axis=0), mean)


def _measured(
    maps: NDArray[np.float32], chosen: slice, regions: Regions | None
) -> tuple[Floats, Floats]:
    """Return the entropy (n,) and the shares of regions (R, n) of the maps of a batch."""
    of_regions = np.zeros((0, len(maps))) if regions is None else shares(maps, regions.part(chosen))
    # A few samples at a time: in float64 a batch takes as much memory as explaining it did.
    return np.concatenate([entropy(piece) for piece in pieces(maps)]), of_regions
