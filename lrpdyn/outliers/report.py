"""The outlier report as data: four populations, their fences, and what is known of the causes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.outliers.fences import Fences, fences, severity

LISTED = 1000
_NEAR_ZERO = 1e-6


@dataclass(frozen=True)
class Changes:
    """Every transition of every sample, T transitions of N samples.

    `pairs` is (T, 2), the steps; the arrays are (T, N).
    """

    pairs: NDArray[np.int64]
    change: NDArray[np.float64]
    scale_share: NDArray[np.float64]
    score_before: NDArray[np.float64]
    score_after: NDArray[np.float64]
    argmax_before: NDArray[np.int64]
    argmax_after: NDArray[np.int64]
    vanished_before: NDArray[np.bool_]
    vanished_after: NDArray[np.bool_]
    step_gap: NDArray[np.bool_]
    flip_is_cause: bool


@dataclass(frozen=True)
class Steps:
    """Every step of every sample, (S,) and (S, N): for what is wrong by its own criterion."""

    steps: NDArray[np.int64]
    score: NDArray[np.float64]
    relevance_l1: NDArray[np.float64]
    finite: NDArray[np.bool_]


def vanished(score: NDArray[np.float64], relevance_l1: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell where relevance is gone (below 1e-6 of the score) though the score is not zero."""
    with np.errstate(invalid="ignore"):
        gone = relevance_l1 <= _NEAR_ZERO * np.abs(score)
    found: NDArray[np.bool_] = gone & (score != 0) & np.isfinite(score)
    return found


def build_report(steps: Steps, changes: Changes, dynamics: NDArray[np.float32]) -> dict[str, Any]:
    """Return the report as the plain data of ``outliers.json``.

    `dynamics` is (N, C, H, W), whose channels are summed, or (N, F).
    """
    pixels = dynamics.astype(np.float64)
    pixels = pixels.sum(axis=1) if pixels.ndim == 4 else pixels
    change = changes.change
    typical = np.median(change, axis=1) if change.size else np.zeros(0)
    kinds = {
        "steps": _population(typical, lambda i: _pair(changes, i)),
        "samples": _population(change.sum(axis=0), lambda n: {"sample": n}),
        "pixels": _population(pixels.ravel(), lambda i: _pixel(i, pixels.shape)),
        "cells": _population(
            change.ravel(),
            lambda i: {**_pair(changes, i // change.shape[1]), "sample": i % change.shape[1]},
        ),
    }
    for entry, index in zip(kinds["cells"][0], kinds["cells"][2], strict=True):
        entry["causes"] = _causes(changes, *divmod(index, change.shape[1]))
    pathologies = _pathologies(steps)
    return {
        "schema": 1,
        "method": {
            "name": kinds["cells"][1]["method"],
            "populations": {
                "steps": "median over samples of the change of a transition",
                "samples": "sum over transitions of the change of a sample",
                "pixels": "dynamics, channels summed",
                "cells": "change of one sample in one transition",
            },
        },
        "totals": {
            **{kind: total for kind, (_, total, _) in kinds.items()},
            "pathologies": {"values": len(pathologies)},
        },
        **{kind: listed for kind, (listed, _, _) in kinds.items()},
        "pathologies": pathologies[:LISTED],
    }


def _population(
    values: NDArray[np.float64], where: Any
) -> tuple[list[dict[str, Any]], dict[str, Any], list[int]]:
    """Return the strongest values as entries, the totals, and the entries' places in `values`."""
    fence = fences(values) if len(values) else Fences("rank", 0, 0.0, None, None)
    strongest = _strongest(values)
    listed = [
        {
            "where": where(index),
            "value": float(values[index]),
            "fence_mild": fence.mild,
            "fence_far": fence.far,
            "severity": severity(float(values[index]), fence),
            "causes": [],
        }
        for index in strongest
    ]
    far = int((values > fence.far).sum()) if fence.far is not None else 0
    mild = int((values > fence.mild).sum()) - far if fence.mild is not None else 0
    total = {
        "method": fence.method,
        "values": fence.count,
        "zeros": fence.zeros,
        "fence_mild": fence.mild,
        "fence_far": fence.far,
        "mild": mild,
        "far": far,
        "listed": len(listed),
    }
    return listed, total, strongest


def _strongest(values: NDArray[np.float64]) -> list[int]:
    """Return the places of the `LISTED` largest values, largest first, ties by place."""
    candidates = np.arange(len(values))
    if len(values) > LISTED:
        least = np.partition(values, len(values) - LISTED)[len(values) - LISTED]
        candidates = np.flatnonzero(values >= least)
    order = np.argsort(-values[candidates], kind="stable")
    return [int(index) for index in candidates[order][:LISTED]]


def _pair(changes: Changes, index: int) -> dict[str, int]:
    return {"from_step": int(changes.pairs[index, 0]), "to_step": int(changes.pairs[index, 1])}


def _pixel(index: int, shape: tuple[int, ...]) -> dict[str, int]:
    place = [int(i) for i in np.unravel_index(index, shape)]
    names = ("sample", "row", "column") if len(place) == 3 else ("sample", "column")
    return dict(zip(names, place, strict=True))


def _causes(changes: Changes, transition: int, sample: int) -> list[dict[str, Any]]:
    """Return what is known of one change: its split, and what happened at its two ends."""
    at = (transition, sample)
    before, after = float(changes.score_before[at]), float(changes.score_after[at])
    found: list[dict[str, Any]] = []
    for gone, which in ((changes.vanished_before[at], 0), (changes.vanished_after[at], 1)):
        if gone:
            step = int(changes.pairs[transition, which])
            found.append(_cause("vanished_relevance", None, f"no relevance at step {step:,}"))
    if before * after < 0:
        found.append(_cause("score_crosses_zero", None, f"score {before:.3g} -> {after:.3g}"))
    one, two = int(changes.argmax_before[at]), int(changes.argmax_after[at])
    if changes.flip_is_cause and one != two:
        found.append(_cause("action_flip", None, f"unit {one} -> {two}"))
    if changes.step_gap[transition]:
        found.append(_cause("step_gap", None, "a checkpoint between them was left out"))
    share = float(changes.scale_share[at])
    if np.isfinite(share):
        split = [
            _cause("score_growth", share, f"score {before:.3g} -> {after:.3g}"),
            _cause("shape_change", 1 - share, "the explanation itself moved"),
        ]
        found += sorted(split, key=lambda cause: -cause["share"])
    return found


def _cause(name: str, share: float | None, evidence: str) -> dict[str, Any]:
    return {"cause": name, "share": share, "evidence": evidence}


def _pathologies(steps: Steps) -> list[dict[str, Any]]:
    """Return what is wrong whether or not a fence is crossed: not finite, or vanished."""
    listed = [
        _pathology(
            {"step": int(steps.steps[i])}, None, "not_finite", "NaN or infinity in its outputs"
        )
        for i in np.flatnonzero(~steps.finite)
    ]
    gone = vanished(steps.score, steps.relevance_l1) & steps.finite[:, None]
    places = sorted(np.argwhere(gone).tolist(), key=lambda at: -abs(steps.score[at[0], at[1]]))
    for i, n in places:
        score = float(steps.score[i, n])
        evidence = f"sum|R| is {float(steps.relevance_l1[i, n]):.3g}, the score {score:.3g}"
        where = {"step": int(steps.steps[i]), "sample": int(n)}
        listed.append(_pathology(where, score, "vanished_relevance", evidence))
    return listed


def _pathology(
    where: dict[str, int], value: float | None, cause: str, evidence: str
) -> dict[str, Any]:
    return {
        "where": where,
        "value": value,
        "fence_mild": None,
        "fence_far": None,
        "severity": "none",
        "causes": [_cause(cause, None, evidence)],
    }
