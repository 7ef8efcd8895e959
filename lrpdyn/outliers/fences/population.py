"""The populations of the report: their fences, their strongest values as entries, their totals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrpdyn.files.streamed import Samples
from lrpdyn.outliers.facts import Floats
from lrpdyn.outliers.fences.fences import Fences, fences
from lrpdyn.outliers.fences.rolling import rolling_fences
from lrpdyn.outliers.fences.sizes import Sizes
from lrpdyn.outliers.fences.tail import tail_severity

LISTED = 1000


@dataclass(frozen=True, kw_only=True)
class Population:
    """Values, the fences that each is compared with, and where each is.

    `mild` and `far` are of the shape of `values`, NaN where there is no fence.
    """

    values: Floats
    whole: Fences
    mild: Floats
    far: Floats
    window: int | None
    where: Callable[[int], dict[str, int]]

    @property
    def is_far(self) -> Any:
        """Where values lie beyond their far fence."""
        return self.values > self.far

    @property
    def is_mild(self) -> Any:
        """Where values lie beyond their mild fence, far ones included."""
        return self.values > self.mild


def population(
    values: Floats, where: Callable[[int], dict[str, int]], *, rolls: bool = False
) -> Population:
    """Return values with their fences; `rolls` says that the first axis is time."""
    whole = fences(values)
    mild = np.full(values.shape, np.nan if whole.mild is None else whole.mild)
    far = np.full(values.shape, np.nan if whole.far is None else whole.far)
    window = None
    if rolls:
        rolling = rolling_fences(values, whole)
        window = rolling.window
        shape = (-1, *(1,) * (values.ndim - 1))
        mild = np.broadcast_to(rolling.mild.reshape(shape), values.shape)
        far = np.broadcast_to(rolling.far.reshape(shape), values.shape)
    return Population(values=values, whole=whole, mild=mild, far=far, window=window, where=where)


@dataclass(frozen=True, kw_only=True)
class PixelPopulation:
    """All pixels of all samples, read a few samples at a time, and the fences of all."""

    sizes: Sizes
    whole: Fences
    where: Callable[[int], dict[str, int]]


def pixel_population(values: Samples, where: Callable[[int], dict[str, int]]) -> PixelPopulation:
    """Return the pixels with their fences."""
    sizes = Sizes(values)
    return PixelPopulation(sizes=sizes, whole=fences(sizes), where=where)


def entries(of: Population | PixelPopulation) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the strongest values as entries of the report, and their places in the population.

    Strongest is largest; where each window has its own fence, furthest beyond it.
    """
    if isinstance(of, PixelPopulation):
        places, values = of.sizes.strongest(LISTED)
        mild, far = (
            np.full(len(values), np.nan if fence is None else fence)
            for fence in (of.whole.mild, of.whole.far)
        )
        sizes = of.sizes
    else:
        by = of.values
        if of.window is not None:
            by = by / np.where(np.isfinite(of.far) & (of.far > 0), of.far, np.inf)
        places, _ = Sizes(by).strongest(LISTED)
        values, mild, far = (one.ravel()[places] for one in (of.values, of.mild, of.far))
        sizes = Sizes(of.values)
    severities = tail_severity(sizes, of.whole, values)
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


def totals(of: Population | PixelPopulation, listed: int) -> dict[str, Any]:
    """Return size, fences and numbers of outliers of the whole population, as in the report."""
    if isinstance(of, Population):
        far, mild = int(of.is_far.sum()), int(of.is_mild.sum())
    else:
        far, mild = (
            0 if fence is None else int(of.sizes.beyond(np.array([fence]))[0])
            for fence in (of.whole.far, of.whole.mild)
        )
    return {
        "method": of.whole.method,
        "values": of.whole.count,
        "zeros": of.whole.zeros,
        "fence_mild": of.whole.mild,
        "fence_far": of.whole.far,
        "mild": mild - far,
        "far": far,
        "listed": listed,
        "window": of.window if isinstance(of, Population) else None,
    }


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
