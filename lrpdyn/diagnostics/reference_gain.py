"""Whether maps are more faithful with a reference than without one.

A reference that is the fill, too, takes relevance from where nothing can be taken away: that alone makes
maps more faithful under this fill. So a reference helps only where it does under two fills.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lrpdyn.diagnostics.faithfulness import Curves, Floats, areas
from lrpdyn.explain.loaded import LoadedNetwork
from lrpdyn.explain.model import Model, with_plan
from lrpdyn.files.streamed import Samples
from lrpdyn.lrp.plan import Bounds

#: Observations are drawn again so often for an interval, which holds 90 % of the medians.
_DRAWS, _ENDS = 1000, (0.05, 0.95)
#: Ranges of the score below this share of the largest are flat: what is divided by them is noise.
_FLAT = 1e-3
#: Maps that differ by less than this share of their largest entry are the same.
_SAME = 1e-3


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The faithfulness of maps: the median over checkpoints and observations, and its interval."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class TwoFills:
    """The area between curves under a fill and under another one, (checkpoints, m) each.

    Checkpoints differ where the score is flat under one of them.
    """

    fill: Floats
    other: Floats


def with_reference(
    model: Model, reference: NDArray[np.float32], observations: Samples, bounds: Bounds | None
) -> Model:
    """Return a model whose relevance is measured from a reference, (1, ...).

    Raises
    ------
    UsageError
        The network or the rule has none.
    """
    return with_plan(replace(model, reference=reference, plan={}), observations, bounds)


def under(loaded: LoadedNetwork, model: Model) -> LoadedNetwork:
    """Return the network with its weights under the rule and the reference of a model."""
    found = replace(
        loaded.model, composite=model.composite, plan=model.plan, reference=model.reference
    )
    return replace(loaded, model=found)


def are_same(one: NDArray[np.float32], two: NDArray[np.float32]) -> bool:
    """Return whether maps are the same but for rounding."""
    return bool(np.abs(one - two).max() <= _SAME * np.abs(two).max())


def usable(curves: Sequence[Curves], largest: float) -> list[Curves]:
    """Return the curves, by checkpoint, whose range is not flat beside the largest."""
    return [one for one in curves if one.score_range > _FLAT * largest]


def abpc(curves: Sequence[Curves], name: str) -> Floats:
    """Return the areas of a map in shares of the score's range, (checkpoints, ..., m)."""
    return np.stack([areas(one.score[name], one.score_range)[2] for one in curves])


def spread(values: Floats) -> Spread:
    """Return the median of values (checkpoints, m), and the interval of those of observations drawn again."""
    low, high = np.quantile(_drawn_again(values), _ENDS).tolist()
    return Spread(median=float(np.median(values)), low=low, high=high)


def gain(one: Floats, other: Floats) -> Spread:
    """Return by how much the median of values (checkpoints, m) is above that of others, with its interval.

    The same observations are drawn for both.
    """
    low, high = np.quantile(_drawn_again(one) - _drawn_again(other), _ENDS).tolist()
    return Spread(median=float(np.median(one) - np.median(other)), low=low, high=high)


def is_better(one: TwoFills, than: TwoFills) -> bool:
    """Return whether maps are more faithful, by more than the interval, under both fills."""
    pairs = ((one.fill, than.fill), (one.other, than.other))
    return all(gain(*pair).low > 0 for pair in pairs)


def _drawn_again(values: Floats) -> Floats:
    count = values.shape[1]
    draws = np.random.default_rng(0).integers(count, size=(_DRAWS, count))
    found: Floats = np.median(values[:, draws], axis=(0, 2))
    return found
