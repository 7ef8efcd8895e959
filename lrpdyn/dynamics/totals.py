"""What the sums over all steps come to, for some samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.measures import Array, pixels

#: Where a pixel's sum |R_i| is below this share of its sample's largest, it has no relative dynamics.
SMALLEST_RELEVANCE = 1e-6


@dataclass(frozen=True)
class Sums:
    """Sums over the steps, for n samples.

    Attributes
    ----------
    steps
        How many finite steps there are.
    net
        (n, ...): |R_N - R_1|, between the last and the first finite step.
    total, magnitude, coarse
        (n, ...): sums of |R_i - R_{i+1}|, of |R_i|, and of |R_i - R_{i+2}| over every second step.
    logarithms
        Of channel-summed pixels (n, H, W) or (n, F): the sum of r ln r, r = |R_i(p)|.
    largest, largest_at
        Of pixels too: the largest difference, and in which transition (from 0) it was.
    """

    steps: int
    net: Array
    total: Array
    magnitude: Array
    coarse: Array
    logarithms: Array
    largest: Array
    largest_at: NDArray[np.int32]

    @property
    def dynamics(self) -> NDArray[np.float32]:
        """Sum over transitions of |R_i - R_{i+1}|, the shape of the observations."""
        return self.total.astype(np.float32)

    @property
    def net_change(self) -> NDArray[np.float32]:
        """|R_N - R_1|, between the last and the first finite step."""
        return self.net.astype(np.float32)

    @property
    def mean_relevance(self) -> NDArray[np.float32]:
        """Mean over finite steps of |R_i|, normalised as dynamics is."""
        return (self.magnitude / max(self.steps, 1)).astype(np.float32)

    @property
    def directness(self) -> NDArray[np.float32]:
        """Net change over Dynamics, the shape of the observations; 0 where nothing changed.

        1 where every change went the same way. A step that is not finite breaks the path, not the
        net change: values may then pass 1.
        """
        still = self.total == 0
        found = self.net_change / np.where(still, 1.0, self.total)
        return np.where(still, 0.0, found).astype(np.float32)

    @property
    def relative_dynamics(self) -> NDArray[np.float32]:
        """Dynamics over sum |R_i|, of channel-summed pixels (n, H, W) or (n, F), in 0..2.

        0 where a pixel's sum |R_i| is below a millionth of its sample's largest: what is left of it
        there is rounding.
        """
        path, size = pixels(self.total), pixels(self.magnitude)
        largest = size.reshape(len(size), -1).max(axis=1, initial=0.0)
        enough = size > SMALLEST_RELEVANCE * largest.reshape(-1, *(1,) * (size.ndim - 1))
        return np.where(enough, path / np.where(enough, size, 1.0), 0.0).astype(np.float32)

    @property
    def pixel_entropy(self) -> NDArray[np.float32]:
        """-sum_i q_i ln q_i of each pixel over steps, q_i = |R_i(p)| / sum_i |R_i(p)|, in nats.

        (n, H, W), channels summed, or (n, F); NaN where a pixel never had relevance. ln(steps) where
        it had the same at every step, 0 where at one step only.
        """
        # sum_i q_i ln q_i = (1/S) sum_i r_i ln r_i - ln S, which needs no second look at the steps.
        size = pixels(self.magnitude)
        there = size > 0
        safe = np.where(there, size, 1.0)
        found = np.maximum(np.log(safe) - self.logarithms / safe, 0.0)
        return np.where(there, found, np.nan).astype(np.float32)

    def products(self) -> Array:
        """Return sums and inner products, which add up over samples to those of all."""
        total, magnitude, coarse = self.total.ravel(), self.magnitude.ravel(), self.coarse.ravel()
        net = self.net_change.sum(dtype=np.float64)
        return np.array(
            [total.sum(), net, coarse.sum(), total @ total, magnitude @ magnitude, coarse @ coarse,
             total @ magnitude, total @ coarse]
        )  # fmt: skip


def summary(products: Array) -> dict[str, float | None]:
    """Return what the maps over all steps are worth, each compared with the others.

    ``alike_mean_relevance``: cosine of Dynamics to the sum of |R_i|; ``net_share``: sum of net change
    over sum of Dynamics; ``every_second_share`` and ``alike_every_second``: the same sums, and the
    cosine, of the Dynamics of every second checkpoint. None where there is no path.

    Parameters
    ----------
    products
        Of all samples: what `Sums.products` gave, added up.
    """
    path, net, coarse, *squares, total_magnitude, total_coarse = products.tolist()

    def number(value: float, divisor: float) -> float | None:
        return value / divisor if path > 0 and divisor > 0 and np.isfinite(value) else None

    def alike(product: float, square: float) -> float | None:
        found = number(product, math.sqrt(squares[0] * square))
        return None if found is None else min(found, 1.0)

    return {
        "alike_mean_relevance": alike(total_magnitude, squares[1]),
        "net_share": number(net, path),
        "every_second_share": number(coarse, path),
        "alike_every_second": alike(total_coarse, squares[2]),
    }
