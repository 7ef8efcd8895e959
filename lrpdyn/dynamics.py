"""Streaming sums over the relevance of successive steps, and the measures of each step.

A few maps are held, whatever the number of steps: the first, the last, the last but one, and the
sums. Sums are made in float64 from float32 relevance, one step after the other, so that they are the
same for one run or several interrupted ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrpdyn.measures import Array, centred_ranks, cosines, entropy, normalise, pixels, rows
from lrpdyn.measures import scale_factor as factor_of_scale
from lrpdyn.measures import scale_share as share_of_scale

#: Where a pixel's sum |R_i| is below this share of its sample's largest, it has no relative dynamics.
SMALLEST_RELEVANCE = 1e-6


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
class _Step:
    """A step that the next one is compared with."""

    step: int
    maps: Array
    ranks: Array


class Dynamics:
    """Sums over the steps added so far; `add` each step once, in order."""

    def __init__(self, shape: tuple[int, ...], normalisation: str = "none") -> None:
        self.normalisation = normalisation
        self.steps = 0
        self.transitions = 0
        self._shape = shape
        of_pixels = (shape[0], *shape[2:]) if len(shape) == 4 else shape
        self._total = np.zeros(shape)
        self._magnitude = np.zeros(shape)
        self._logarithms = np.zeros(of_pixels)
        self._coarse = np.zeros(shape)
        self._largest = np.zeros(of_pixels)
        self._largest_at = np.zeros(of_pixels, dtype=np.int64)
        self._first: tuple[int, Array, Array] | None = None
        self._last: Array | None = None
        self._previous: _Step | None = None
        self._every_second: Array | None = None
        self._is_second = False

    def add(self, step: int, relevance: NDArray[np.float32]) -> tuple[Measures, Transition | None]:
        """Add the raw relevance (N, ...) of a step; return its measures and its transition.

        A step that is not finite has no transition to either side and no part in the sums.
        """
        if not np.isfinite(relevance).all():
            self._previous = self._every_second = None
            nothing = np.full(len(relevance), np.nan)
            return Measures(nothing, nothing, nothing, nothing, nothing, False), None
        # In float64 from here on; what is made of it is not written to.
        exact = relevance.astype(np.float64)
        maps, shares = normalise(exact, self.normalisation), normalise(exact, "l1")
        if self._first is None:
            self._first = (step, maps, shares)
        now = _Step(step, maps, centred_ranks(maps))
        transition = None
        if self._previous is not None:
            transition = self._transition(self._previous, now)
        self._add_coarse(maps)
        self._add_magnitude(maps)
        self._previous, self._last = now, maps
        self.steps += 1
        raw = rows(exact)
        measures = Measures(
            relevance_sum=raw.sum(axis=1),
            relevance_l1=np.abs(raw).sum(axis=1),
            entropy=entropy(exact),
            distance_from_first=np.abs(rows(maps) - rows(self._first[1])).sum(axis=1),
            distance_from_first_l1=np.abs(rows(shares) - rows(self._first[2])).sum(axis=1),
            from_step_zero=self._first[0] == 0,
        )
        return measures, transition

    def _transition(self, before: _Step, now: _Step) -> Transition:
        difference = np.abs(now.maps - before.maps)
        self._total += difference
        of_pixels = pixels(difference)
        larger = of_pixels > self._largest
        self._largest[larger] = of_pixels[larger]
        self._largest_at[larger] = self.transitions
        self.transitions += 1
        return Transition(
            from_step=before.step,
            to_step=now.step,
            change=rows(difference).sum(axis=1),
            scale_share=share_of_scale(before.maps, now.maps),
            scale_factor=factor_of_scale(before.maps, now.maps),
            cosine=cosines(rows(pixels(before.maps)), rows(pixels(now.maps))),
            rank_similarity=cosines(before.ranks, now.ranks),
        )

    def _add_coarse(self, maps: Array) -> None:
        """Add to the Dynamics of every second checkpoint."""
        self._is_second = self._every_second is None or not self._is_second
        if not self._is_second:
            return
        if self._every_second is not None:
            self._coarse += np.abs(maps - self._every_second)
        self._every_second = maps

    def _add_magnitude(self, maps: Array) -> None:
        magnitude = np.abs(maps)
        self._magnitude += magnitude
        of_pixels = pixels(magnitude)
        self._logarithms += of_pixels * np.log(np.where(of_pixels > 0, of_pixels, 1.0))

    @property
    def dynamics(self) -> NDArray[np.float32]:
        """Sum over transitions of |R_i - R_{i+1}|, the shape of the observations."""
        return self._total.astype(np.float32)

    @property
    def net_change(self) -> NDArray[np.float32]:
        """|R_N - R_1|, between the last and the first finite step."""
        if self._first is None or self._last is None:
            return np.zeros(self._shape, dtype=np.float32)
        return np.abs(self._last - self._first[1]).astype(np.float32)

    @property
    def mean_relevance(self) -> NDArray[np.float32]:
        """Mean over finite steps of |R_i|, normalised as dynamics is."""
        return (self._magnitude / max(self.steps, 1)).astype(np.float32)

    @property
    def directness(self) -> NDArray[np.float32]:
        """Net change over Dynamics, the shape of the observations; 0 where nothing changed.

        1 where every change went the same way. A step that is not finite breaks the path, not the
        net change: values may then pass 1.
        """
        still = self._total == 0
        found = self.net_change / np.where(still, 1.0, self._total)
        return np.where(still, 0.0, found).astype(np.float32)

    @property
    def relative_dynamics(self) -> NDArray[np.float32]:
        """Dynamics over sum |R_i|, of channel-summed pixels (N, H, W) or (N, F), in 0..2.

        0 where a pixel's sum |R_i| is below a millionth of its sample's largest: what is left of it
        there is rounding.
        """
        path, size = pixels(self._total), pixels(self._magnitude)
        largest = size.reshape(len(size), -1).max(axis=1, initial=0.0)
        enough = size > SMALLEST_RELEVANCE * largest.reshape(-1, *(1,) * (size.ndim - 1))
        return np.where(enough, path / np.where(enough, size, 1.0), 0.0).astype(np.float32)

    @property
    def pixel_entropy(self) -> NDArray[np.float32]:
        """-sum_i q_i ln q_i of each pixel over steps, q_i = |R_i(p)| / sum_i |R_i(p)|, in nats.

        (N, H, W), channels summed, or (N, F); NaN where a pixel never had relevance. ln(steps) where
        it had the same at every step, 0 where at one step only.
        """
        # sum_i q_i ln q_i = (1/S) sum_i r_i ln r_i - ln S, which needs no second look at the steps.
        size = pixels(self._magnitude)
        there = size > 0
        safe = np.where(there, size, 1.0)
        found = np.maximum(np.log(safe) - self._logarithms / safe, 0.0)
        return np.where(there, found, np.nan).astype(np.float32)

    @property
    def largest(self) -> tuple[Array, NDArray[np.int64]]:
        """The largest difference of each pixel, and in which transition (from 0) it was."""
        return self._largest, self._largest_at

    def summary(self) -> dict[str, float | None]:
        """Return what the maps are worth beside each other.

        ``alike_mean_relevance``: cosine of Dynamics to the sum of |R_i|; ``net_share``: sum of net
        change over sum of Dynamics; ``every_second_share`` and ``alike_every_second``: the same sums,
        and the cosine, of the Dynamics of every second checkpoint. None where there is no path.
        """
        total, coarse = self._total.reshape(1, -1), self._coarse.reshape(1, -1)
        path = float(total.sum())

        def number(value: float) -> float | None:
            return value if path > 0 and np.isfinite(value) else None

        divisor = path if path > 0 else 1.0
        return {
            "alike_mean_relevance": number(
                float(cosines(total, self._magnitude.reshape(1, -1))[0])
            ),
            "net_share": number(float(self.net_change.sum(dtype=np.float64)) / divisor),
            "every_second_share": number(float(coarse.sum()) / divisor),
            "alike_every_second": number(float(cosines(total, coarse)[0])),
        }
