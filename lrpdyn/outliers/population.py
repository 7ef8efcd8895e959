"""One population of the report: its fences, its strongest values as entries, its totals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrpdyn.outliers.facts import Floats
from lrpdyn.outliers.fences import Fences, fences
from lrpdyn.outliers.rolling import rolling_fences
from lrpdyn.outliers.tail import tail_severity

LISTED = 1000


@dataclass(frozen=True)
class Population:
    """Values with the fences that each is held against, and where each is.

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
    """Draw the fences of a population; `rolls` says that its first axis is time."""
    whole = fences(values) if values.size else Fences("rank", 0, 0.0, None, None)
    mild = np.full(values.shape, np.nan if whole.mild is None else whole.mild)
    far = np.full(values.shape, np.nan if whole.far is None else whole.far)
    window = None
    if rolls:
        rolling = rolling_fences(values, whole)
        window = rolling.window
        shape = (-1, *(1,) * (values.ndim - 1))
        mild = np.broadcast_to(rolling.mild.reshape(shape), values.shape)
        far = np.broadcast_to(rolling.far.reshape(shape), values.shape)
    return Population(values, whole, mild, far, window, where)


def entries(of: Population) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the strongest values as entries of the report, and their places in the population.

    Strongest is largest; where each window has a fence of its own, furthest beyond it.
    """
    values, mild, far = of.values.ravel(), of.mild.ravel(), of.far.ravel()
    by = values
    if of.window is not None:
        by = values / np.where(np.isfinite(far) & (far > 0), far, np.inf)
    places = _strongest(by)
    severities = tail_severity(values, of.whole, values[places])
    listed: list[dict[str, Any]] = [
        {
            "where": of.where(place),
            "value": float(values[place]),
            "fence_mild": _number(mild[place]),
            "fence_far": _number(far[place]),
            "severity": "far"
            if values[place] > far[place]
            else "mild"
            if values[place] > mild[place]
            else "none",
            "causes": [],
            "tail": _number(severity),
        }
        for place, severity in zip(places, severities.tolist(), strict=True)
    ]
    return listed, places


def totals(of: Population, listed: int) -> dict[str, Any]:
    """Return what is said of the whole population."""
    far = int(of.is_far.sum())
    return {
        "method": of.whole.method,
        "values": of.whole.count,
        "zeros": of.whole.zeros,
        "fence_mild": of.whole.mild,
        "fence_far": of.whole.far,
        "mild": int(of.is_mild.sum()) - far,
        "far": far,
        "listed": listed,
        "window": of.window,
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _strongest(values: Floats) -> list[int]:
    """Return the places of the `LISTED` largest values, largest first, ties by place."""
    candidates = np.arange(len(values))
    if len(values) > LISTED:
        least = np.partition(values, len(values) - LISTED)[len(values) - LISTED]
        candidates = np.flatnonzero(values >= least)
    order = np.argsort(-values[candidates], kind="stable")
    return [int(index) for index in candidates[order][:LISTED]]
