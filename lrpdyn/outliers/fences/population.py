"""The populations of the report: their fences, their strongest values as entries, their totals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrpdyn.files.streamed import Samples
from lrpdyn.outliers.facts import Floats
from lrpdyn.outliers.fences.fences import Fences, fences, unfenced
from lrpdyn.outliers.fences.in_time import HALF, in_time
from lrpdyn.outliers.fences.sizes import Sizes
from lrpdyn.outliers.fences.tail import tail_severity

LISTED = 1000


@dataclass(frozen=True, kw_only=True)
class Population:
    """Values, the fences that each is compared with, and where each is.

    `values` are in memory, or pixels that are read a few samples at a time as `sizes`. `mild` and
    `far` are single values, or of the shape of `values` where each is compared with its `trend`; NaN where
    there is no fence.
    """

    values: Any
    sizes: Sizes
    whole: Fences
    mild: Floats
    far: Floats
    trend: Floats | None
    where: Callable[[int], dict[str, int]]

    @property
    def is_fenced(self) -> bool:
        """Whether any value has a fence."""
        return bool(np.isfinite(self.far).any())

    @property
    def method(self) -> str:
        """How values are compared: with the trend around each, by one fence, or not at all."""
        return self.whole.method if self.trend is None or not self.is_fenced else "trend"

    @property
    def is_far(self) -> Any:
        """Where values in memory lie beyond their far fence."""
        return self.values > self.far

    @property
    def is_mild(self) -> Any:
        """Where values in memory lie beyond their mild fence, far ones included."""
        return self.values > self.mild


def population(
    values: Floats | Samples, where: Callable[[int], dict[str, int]], *, over_time: bool = False
) -> Population:
    """Return values with their fences.

    Where `over_time` says that the first axis is time, each is compared with the changes around it
    (`lrpdyn.outliers.fences.in_time`), or with none where there are fewer than twenty.
    """
    sizes = Sizes(values)
    if over_time:
        whole = unfenced(sizes)
        compared = in_time(np.asarray(values))
        mild, far, trend = compared.mild, compared.far, compared.trend
    else:
        whole, trend = fences(sizes), None
        mild, far = (
            np.array(np.nan if fence is None else fence) for fence in (whole.mild, whole.far)
        )
    return Population(
        values=values, sizes=sizes, whole=whole, mild=mild, far=far, trend=trend, where=where
    )


def entries(of: Population) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the strongest values as entries of the report, and their places in the population.

    Strongest is largest; where each is compared with its trend, furthest beyond its fence, then the
    largest of the start, where there is none.
    """
    if of.trend is None:
        places, values = of.sizes.strongest(LISTED)
        mild, far = (np.full(len(values), fence) for fence in (of.mild, of.far))
    else:
        fenced = np.isfinite(of.far)
        largest = float(of.values.max(initial=0.0)) or 1.0
        # Without a fence a value is ranked below all that have one.
        least = float((of.values / of.far)[fenced].min(initial=1.0))
        by = np.where(fenced, of.values / of.far, of.values / largest * least / 2)
        places, _ = Sizes(by).strongest(LISTED)
        values, mild, far = (one.ravel()[places] for one in (of.values, of.mild, of.far))
    usual = np.full(len(values), np.nan) if of.trend is None else of.trend.ravel()[places]
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
            "usual": _number(around),
        }
        for place, value, fence_mild, fence_far, severity, around in zip(
            places,
            *(column.tolist() for column in (values, mild, far, severities, usual)),
            strict=True,
        )
    ]
    return listed, places


def totals(of: Population, listed: int) -> dict[str, Any]:
    """Return size, fences and numbers of outliers of the whole population, as in the report."""
    if of.trend is None:
        far, mild = (int(of.sizes.beyond(np.array([fence]))[0]) for fence in (of.far, of.mild))
    else:
        far, mild = int(of.is_far.sum()), int(of.is_mild.sum())
    return {
        "method": of.method,
        "values": of.whole.count,
        "zeros": of.whole.zeros,
        "fence_mild": of.whole.mild,
        "fence_far": of.whole.far,
        "mild": mild - far,
        "far": far,
        "listed": listed,
        "compared_with": 2 * HALF if of.trend is not None and of.is_fenced else None,
    }


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
