"""The maps over all steps that a heatmap shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lrpdyn.figures.canvas.style import Array


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What moved over training.

    Attributes
    ----------
    dynamics, net_change
        Sum over transitions of |R_i - R_i+1|, and |R_N - R_1|: (N, C, H, W), or flat (N, F).
    relative
        Dynamics over the sum of |R_i|, channels summed before: (N, H, W), or flat (N, F).
    """

    dynamics: Array
    net_change: Array
    relative: Array

    def of(self, samples: Sequence[int]) -> Moved:
        """Return what moved for some of the samples."""
        chosen = list(samples)
        return Moved(
            dynamics=self.dynamics[chosen],
            net_change=self.net_change[chosen],
            relative=self.relative[chosen],
        )
