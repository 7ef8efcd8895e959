"""What one step measures, and what happens between two, for each sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from lrpdyn.measures import Array

Result = TypeVar("Result")


@dataclass(frozen=True)
class Measures:
    """What one step gives, for each of N samples."""

    relevance_sum: Array
    relevance_l1: Array
    entropy: Array
    distance_from_first: Array
    distance_from_first_l1: Array
    from_step_zero: bool


@dataclass(frozen=True)
class Transition:
    """What happens between two successive steps, for each of N samples."""

    from_step: int
    to_step: int
    change: Array
    scale_share: Array
    scale_factor: Array
    cosine: Array
    rank_similarity: Array


@dataclass(frozen=True)
class OfRandom:
    """What the maps of random networks measure, means over the networks.

    `entropy` is (N,), `shares` of regions (R, N), None where there are no regions.
    """

    entropy: Array
    shares: Array | None


def joined(kind: Callable[..., Result], parts: Sequence[tuple[Array, ...]], *rest: Any) -> Result:
    """Put the columns of all pieces together; `rest` is what is no column, by its place."""
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return kind(*rest, *columns) if kind is Transition else kind(*columns, *rest)
