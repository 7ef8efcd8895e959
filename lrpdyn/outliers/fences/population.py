"""The populations of the report: their fences, their strongest values as entries, their totals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrpdyn.files.streamed import Samples
from lrpdyn.outliers.facts import Floats
from lrpdyn.outliers.fences.fences import Fences, fences
from lrpdyn.outliers.fences.sizes import Sizes
from lrpdyn.outliers.fences.tail import tail_severity

#: Transitions in a window. A run needs twice as many for windows to be used.
WIDTH = 50
#: Windows begin this many transitions apart; a transition takes the one whose middle is nearest.
STRIDE = 10
LISTED = 1000


@dataclass(frozen=True, kw_only=True)
class Population:
    """Values, the fences that each is compared with, and where each is.

    `values` are in memory, or pixels that are read a few samples at a time as `sizes`. `mild` and
    `far` are of the shape of `values` where windows of `window` transitions have their own fences, else
    single values; NaN where there is no fence.
    """

    values: Any
    sizes: Sizes
    whole: Fences
    mild: Floats
    far: Floats
    window: int | None
    where: Callable[[int], dict[str, int]]

    @property
    def is_far(self) -> Any:
        """Where values in memory lie beyond their far fence."""
        return self.values > self.far

    @property
    def is_mild(self) -> Any:
        """Where values in memory lie beyond their mild fence, far ones included."""
        return self.values > self.mild


def population(
    values: Floats | Samples, where: Callable[[int], dict[str, int]], *, rolls: bool = False
) -> Population:
    """Return values with their fences.

    Where `rolls` says that the first axis is time, and it is long enough, each transition has the fences
    of the transitions around it: training is not the same at its start and at its end.
    """
    sizes = Sizes(values)
    whole = fences(sizes)
    mild, far = (np.array(np.nan if fence is None else fence) for fence in (whole.mild, whole.far))
    window = WIDTH if rolls and len(values) >= 2 * WIDTH else None
    if window is not None:
        mild, far = rolling_fences(np.asarray(values), mild, far)
    return Population(
        values=values, sizes=sizes, whole=whole, mild=mild, far=far, window=window, where=where
    )


def rolling_fences(values: Floats, mild: Floats, far: Floats) -> tuple[Floats, Floats]:
    """Return the mild and far fences of values (T, ...) in windows of 50 transitions, of their shape.

    `mild` and `far` are the fences of all, which those take whose window has none.
    """
    starts = [*range(0, len(values) - WIDTH, STRIDE), len(values) - WIDTH]
    middles = np.array(starts) + WIDTH / 2
    drawn = [fences(values[start : start + WIDTH]) for start in starts]
    # Of two middles that are as near, the first.
    nearest = np.searchsorted((middles[:-1] + middles[1:]) / 2, np.arange(len(values)))
    column = (-1, *(1,) * (values.ndim - 1))
    found = []
    for whole, own in ((mild, [of.mild for of in drawn]), (far, [of.far for of in drawn])):
        heights = np.array([whole if height is None else height for height in own])
        found.append(np.broadcast_to(heights[nearest].reshape(column), values.shape))
    return found[0], found[1]


def entries(of: Population) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the strongest values as entries of the report, and their places in the population.

    Strongest is largest; where each window has its own fence, furthest beyond it.
    """
    if of.window is None:
        places, values = of.sizes.strongest(LISTED)
        mild, far = (np.full(len(values), fence) for fence in (of.mild, of.far))
    else:
        by = of.values / np.where(np.isfinite(of.far) & (of.far > 0), of.far, np.inf)
        places, _ = Sizes(by).strongest(LISTED)
        values, mild, far = (one.ravel()[places] for one in (of.values, of.mild, of.far))
    severities = tail_severity(of.sizes, of.whole, values)
    listed: list[dict[str, Any]] = [
        {
            "where": of.where(place),
            "value": value,
            "fence_mild": _number(fence_mild),
            "fence_far": _number(fence_far),
            "severity": "far" if value > fence_far else "mild" if value > fence_mild else "none",
            "causes": [],
            "tail": _number(severity),
        }
        for place, value, fence_mild, fence_far, severity in zip(
            places, values.tolist(), mild.tolist(), far.tolist(), severities.tolist(), strict=True
        )
    ]
    return listed, places


def totals(of: Population, listed: int) -> dict[str, Any]:
    """Return size, fences and numbers of outliers of the whole population, as in the report."""
    if of.window is None:
        far, mild = (int(of.sizes.beyond(np.array([fence]))[0]) for fence in (of.far, of.mild))
    else:
        far, mild = int(of.is_far.sum()), int(of.is_mild.sum())
    return {
        "method": of.whole.method,
        "values": of.whole.count,
        "zeros": of.whole.zeros,
        "fence_mild": of.whole.mild,
        "fence_far": of.whole.far,
        "mild": mild - far,
        "far": far,
        "listed": listed,
        "window": of.window,
    }


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
