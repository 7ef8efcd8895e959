"""Phases of training, and regions with their shares and effects over training, as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from lrpdyn.dynamics.measures import rank_correlation
from lrpdyn.dynamics.phases import find_phases
from lrpdyn.dynamics.step_table import Records
from lrpdyn.observations.regions import Regions
from lrpdyn.outliers.facts import Floats, Integers

#: Regions that are attended together hold this share of sum|R|.
HELD = 0.8
#: What is in no region.
ELSEWHERE = "elsewhere"
#: So many sets of regions are reported.
MOST_SETS = 8


def trajectory(records: Records, regions: Regions | None, rule: str) -> dict[str, Any]:
    """Return the sections ``phases`` and ``regions`` of the outlier report.

    Parameters
    ----------
    records
        Steps that are not finite are skipped.
    regions
        None where none are given: phases are then of the L1-normalised maps.
    rule
        The name of the rule, which is reported with the agreement.
    """
    finite = records["finite"]
    steps = records["step"][finite]
    if regions is None:
        phases = _phases(records["outline"][finite], steps)
        return {"phases": {"of": "L1-normalised maps", **phases}, "regions": None}
    shares = _means(records["shares"][finite])
    known = "effects" in records
    effects = _means(records["effects"][finite]) if known else np.full(shares.shape, np.nan)
    phases = _phases(np.hstack([shares, effects]), steps, alike=True)
    return {
        "phases": {"of": "shares and effects of regions", **phases},
        "regions": {
            "rule": rule,
            **_regions(regions, steps.tolist(), shares, effects),
            "together": _together(regions.names, records["shares"][finite]),
        },
    }


def _phases(vectors: Floats, steps: Integers, *, alike: bool = False) -> dict[str, Any]:
    """Return the phases of vectors (S, D) at the steps (S,), less steps that are not finite.

    A step whose maps are zero has no shares; a region that is in no sample has none at any step. With
    `alike` columns are brought to the same variance.
    """
    known = np.isfinite(vectors).any(axis=0)
    there = np.isfinite(vectors[:, known]).all(axis=1)
    chosen = vectors[there]
    return find_phases(_alike(chosen) if alike else chosen).as_data(steps[there])


def _means(values: Floats) -> Floats:
    """Return the mean over the samples that have a region, (S, R): an object may be in few."""
    finite = [[row[np.isfinite(row)] for row in of_step] for of_step in values]
    means = [[row.mean() if len(row) else np.nan for row in of_step] for of_step in finite]
    return np.array(means, dtype=np.float64)


def _alike(columns: Floats) -> Floats:
    """Return columns of the same variance: shares and effects have different units."""
    spread = columns.std(axis=0)
    return columns / np.where(spread > 0, spread, 1.0)


def _regions(
    regions: Regions, steps: list[int], shares: Floats, effects: Floats
) -> Mapping[str, Any]:
    """Return the trajectory of each region, and how well shares and effects agree.

    ``agreement`` of a region is the rank correlation over steps of its share with its effect; of all,
    the median over steps of the rank correlation over regions (three or more).
    """
    of_steps = [rank_correlation(s, e) for s, e in zip(shares, effects, strict=True)]
    known = [value for value in of_steps if value is not None and len(regions.names) > 2]
    return {
        "steps": steps,
        "names": list(regions.names),
        "share": _plain(shares.T),
        "effect": _plain(effects.T),
        "agreement": [
            rank_correlation(shares[:, r], effects[:, r]) for r in range(len(regions.names))
        ],
        "agreement_over_regions": float(np.median(known)) if known else None,
    }


def _together(names: tuple[str, ...], shares: Floats) -> list[dict[str, Any]]:
    """Return the sets of regions that hold most of the relevance, and in how many samples of each step.

    A set has the regions with the largest shares (S, R, N), as many as hold `HELD`; what is in no region is
    ``elsewhere``. ``frequency`` is of the samples whose maps are not zero, None where there is none. The
    most frequent sets come first.
    """
    elsewhere = np.maximum(1 - shares.sum(axis=1, keepdims=True), 0)
    parts = np.concatenate([shares, elsewhere], axis=1).swapaxes(1, 2)
    called = (*names, ELSEWHERE)
    found: list[Counter[tuple[int, ...]]] = []
    for of_step in parts:
        known = of_step[np.isfinite(of_step).all(axis=1)]
        order = np.argsort(-known, axis=1, kind="stable")
        held = np.take_along_axis(known, order, axis=1).cumsum(axis=1)
        counts = np.minimum((held < HELD).sum(axis=1) + 1, len(called))
        sets = zip(order.tolist(), counts.tolist(), strict=True)
        found.append(Counter(tuple(sorted(one[:count])) for one, count in sets))
    total: Counter[tuple[int, ...]] = sum(found, Counter())
    ranked = sorted(total, key=lambda one: (-total[one], one))[:MOST_SETS]
    return [
        {
            "regions": [called[number] for number in one],
            "frequency": [c[one] / c.total() if c.total() else None for c in found],
        }
        for one in ranked
    ]


def _plain(values: Floats) -> list[list[float | None]]:
    return [[float(v) if np.isfinite(v) else None for v in row] for row in values]
