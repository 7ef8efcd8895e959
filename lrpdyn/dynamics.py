"""Streaming sums over the relevance of successive steps, and the measures of each step.

One map is held beside the one before it and the first: memory does not grow with the steps.
Sums are made in float64 from float32 relevance, one step after the other, so that they are the
same for one run or several interrupted ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import UsageError

Array = NDArray[np.float64]

NORMALISATIONS = ("none", "sum", "l1", "max", "minmax")
#: Above this, sum(R) is so much smaller than sum|R| that dividing by it magnifies noise.
LARGEST_KAPPA = 3.0


@dataclass(frozen=True)
class Measures:
    """What one step gives, for each of N samples."""

    relevance_sum: Array
    relevance_l1: Array
    entropy: Array
    distance_from_first: Array


@dataclass(frozen=True)
class Transition:
    """What happens between two successive steps, for each of N samples."""

    from_step: int
    to_step: int
    change: Array
    scale_share: Array


def _rows(maps: NDArray[np.floating]) -> Array:
    return maps.reshape(len(maps), -1).astype(np.float64)


def normalise(maps: NDArray[np.floating], how: str) -> Array:
    """Return maps (N, ...) as float64, each sample normalised on its own.

    ``none``: as they are; ``sum``: by their sum; ``l1``: by the sum of absolute values; ``max``: by
    the largest absolute value; ``minmax``: to 0..1. An all-zero map stays zero.

    Raises
    ------
    UsageError
        ``sum`` is asked for and sum|R| is more than three times |sum R| in some sample.
    """
    rows = _rows(maps)
    if how == "none":
        return rows.reshape(maps.shape)
    total = np.abs(rows).sum(axis=1)
    if how == "sum":
        divisor = rows.sum(axis=1)
        if bool((total > LARGEST_KAPPA * np.abs(divisor)).any()):
            raise UsageError(
                "--normalize sum: relevance of both signs nearly cancels in some maps (sum|R| is more "
                f"than {LARGEST_KAPPA:g} times |sum R|), so that dividing by the sum magnifies noise; "
                "use --normalize l1"
            )
    elif how == "l1":
        divisor = total
    elif how == "max":
        divisor = np.abs(rows).max(axis=1)
    else:
        rows = np.where((total > 0)[:, None], rows - rows.min(axis=1, keepdims=True), 0.0)
        divisor = rows.max(axis=1)
    scaled = rows / np.where(divisor == 0, 1.0, divisor)[:, None]
    return scaled.reshape(maps.shape)


def entropy(maps: NDArray[np.floating]) -> Array:
    """Return -sum q ln q over pixels, q = |R| summed over channels over its total; NaN if zero.

    `maps` is (N, C, H, W) or (N, F), where each feature is a pixel.
    """
    weights = np.abs(maps.astype(np.float64))
    pixels = weights.sum(axis=1) if maps.ndim == 4 else weights
    rows = pixels.reshape(len(maps), -1)
    total = rows.sum(axis=1, keepdims=True)
    q = rows / np.where(total == 0, 1.0, total)
    logarithm = np.log(np.where(q > 0, q, 1.0))
    return np.where(total[:, 0] > 0, np.abs((q * logarithm).sum(axis=1)), np.nan)


def scale_share(before: Array, after: Array) -> Array:
    """Return the share of each sample's change along the direction common to both maps.

    With u the first left singular vector of the two-column matrix [R, R'], the share is
    (u . (R' - R))^2 / |R' - R|^2; the rest is a change of shape. NaN where nothing changed.
    """
    one, two = _rows(before), _rows(after)
    difference = two - one
    gram = np.empty((len(one), 2, 2))
    gram[:, 0, 0] = (one * one).sum(axis=1)
    gram[:, 1, 1] = (two * two).sum(axis=1)
    gram[:, 0, 1] = gram[:, 1, 0] = (one * two).sum(axis=1)
    values, vectors = np.linalg.eigh(gram)
    first = vectors[:, :, 1]  # right singular vector; u = [R, R'] v / sigma
    along = first[:, 0] * (one * difference).sum(axis=1) + first[:, 1] * (two * difference).sum(
        axis=1
    )
    length = (difference * difference).sum(axis=1)
    possible = (length > 0) & (values[:, 1] > 0)
    denominator = np.where(possible, values[:, 1] * length, 1.0)
    return np.where(possible, np.clip(along**2 / denominator, 0.0, 1.0), np.nan)


def cosines(one: NDArray[np.floating], two: NDArray[np.floating]) -> Array:
    """Return the cosine of each sample's two maps, (N,); NaN where one is zero or not finite."""
    a, b = _rows(one), _rows(two)
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    usable = np.isfinite(length) & (length > 0)
    product = np.where(usable, (a * b).sum(axis=1), np.nan)
    return product / np.where(usable, length, 1.0)


class Dynamics:
    """Sums over the steps added so far; `add` each step once, in order."""

    def __init__(self, shape: tuple[int, ...], normalisation: str = "none") -> None:
        self.normalisation = normalisation
        self.steps = 0
        self._total = np.zeros(shape)
        self._magnitude = np.zeros(shape)
        self._first: Array | None = None
        self._last: Array | None = None
        self._previous: tuple[int, Array] | None = None

    def add(self, step: int, relevance: NDArray[np.float32]) -> tuple[Measures, Transition | None]:
        """Add the raw relevance (N, ...) of a step; return its measures and its transition.

        A step that is not finite has no transition to either side and no part in the sums.
        """
        if not np.isfinite(relevance).all():
            self._previous = None
            nothing = np.full(len(relevance), np.nan)
            return Measures(nothing, nothing, nothing, nothing), None
        maps = normalise(relevance, self.normalisation)
        if self._first is None:
            self._first = maps
        transition = None
        if self._previous is not None:
            transition = self._transition(self._previous, step, maps)
        self._magnitude += np.abs(maps)
        self._previous, self._last = (step, maps), maps
        self.steps += 1
        raw = _rows(relevance)
        distance = np.abs(_rows(maps) - _rows(self._first)).sum(axis=1)
        measures = Measures(raw.sum(axis=1), np.abs(raw).sum(axis=1), entropy(relevance), distance)
        return measures, transition

    def _transition(self, previous: tuple[int, Array], step: int, maps: Array) -> Transition:
        difference = np.abs(maps - previous[1])
        self._total += difference
        change = _rows(difference).sum(axis=1)
        return Transition(previous[0], step, change, scale_share(previous[1], maps))

    @property
    def dynamics(self) -> NDArray[np.float32]:
        """Sum over transitions of |R_i - R_{i+1}|, the shape of the observations."""
        return self._total.astype(np.float32)

    @property
    def net_change(self) -> NDArray[np.float32]:
        """|R_N - R_1|, between the last and the first finite step."""
        if self._first is None or self._last is None:
            return np.zeros_like(self._total, dtype=np.float32)
        return np.abs(self._last - self._first).astype(np.float32)

    @property
    def mean_relevance(self) -> NDArray[np.float32]:
        """Mean over finite steps of |R_i|, normalised as dynamics is."""
        return (self._magnitude / max(self.steps, 1)).astype(np.float32)
