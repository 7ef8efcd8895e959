"""What is wrong by its own criterion, at every step and sample, whether or not a fence is crossed."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrpdyn.outliers.causes import Criteria, cause, instability, vanishing


def pathologies(known: Criteria) -> list[dict[str, Any]]:
    """Return what is wrong: what ends a run first, then by cause, the strongest first."""
    return [
        *_not_finite(known),
        *_duplicates(known),
        *_dead(known),
        *_at_samples(known, "vanished_relevance"),
        *_at_samples(known, "unstable_denominator"),
    ]


def entry(where: dict[str, int], value: float | None, name: str, evidence: str) -> dict[str, Any]:
    """Return one pathology as it stands in the report."""
    return {
        "where": where,
        "value": value,
        "fence_mild": None,
        "fence_far": None,
        "severity": "none",
        "causes": [cause(name, None, evidence)],
    }


def _not_finite(known: Criteria) -> list[dict[str, Any]]:
    steps = known.facts.steps
    return [
        entry(
            {"step": int(steps.step[i])},
            None,
            "not_finite",
            f"NaN or infinity in {', '.join(steps.broken[i])}",
        )
        for i in np.flatnonzero(~steps.finite)
    ]


def _duplicates(known: Criteria) -> list[dict[str, Any]]:
    steps = known.facts.steps
    return [
        entry(
            {"step": int(steps.step[i])},
            None,
            "duplicate_checkpoint",
            f"all weights are those of step {steps.step[i - 1]:,}",
        )
        for i in np.flatnonzero(known.duplicates)
    ]


def _dead(known: Criteria) -> list[dict[str, Any]]:
    steps = known.facts.steps
    found = []
    for layer in range(len(steps.activity_layers)):
        usual = float(np.nanmedian(steps.dead[:, layer]))
        for i in np.flatnonzero(known.dead[:, layer]):
            share = float(steps.dead[i, layer])
            evidence = (
                f"{steps.activity_layers[layer]}: {100 * share:.3g} % of its units are dead, "
                f"usually {100 * usual:.3g} %"
            )
            found.append(entry({"step": int(steps.step[i])}, share, "dead_layer", evidence))
    return sorted(found, key=lambda one: (-one["value"], one["where"]["step"]))


def _at_samples(known: Criteria, name: str) -> list[dict[str, Any]]:
    steps = known.facts.steps
    gone = name == "vanished_relevance"
    mask = (known.vanished if gone else known.unstable) & steps.finite[:, None]
    places = sorted(np.argwhere(mask).tolist(), key=lambda at: -abs(steps.score[at[0], at[1]]))
    found = []
    for i, n in places:
        where = {"step": int(steps.step[i]), "sample": int(n)}
        if gone:
            value, evidence = float(steps.score[i, n]), vanishing(known, i, n)
        else:
            value, evidence = float(steps.score[i, n]), instability(known, i, n)
        found.append(entry(where, value, name, evidence))
    return found
