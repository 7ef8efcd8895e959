"""Steps that stand out by their weights alone, as entries of the report, strongest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lrpdyn.outliers.causes import CAUSES, off_layers
from lrpdyn.outliers.criteria import Criteria
from lrpdyn.outliers.facts import Floats
from lrpdyn.outliers.weight_path import JUMP

#: How sure it is that something is wrong: a file that does not belong here, or a change that may be meant.
_SEVERITY = {
    "swapped_order": "far",
    "off_path": "far",
    "restart": "far",
    "statistics_reset": "far",
    "weight_jump": "far",
    "duplicate_checkpoint": "mild",
    "near_copy": "mild",
    "step_gap": "mild",
}

#: A jump of so many times the usual is far; smaller ones occur in sound training now and then.
LARGE_JUMP = 5.0
#: Over two steps, weights move up to twice as far as over one; this is an ordinary step of two.
ORDINARY = 3.0


def by_weights(known: Criteria) -> list[dict[str, Any]]:
    """Return an entry for each step, or transition, with a cause that needs no map to be seen.

    A transition into or out of a checkpoint that is off the path, or in the wrong order, has none of its
    own: it is part of the detour.
    """
    weights, steps = known.weights, known.steps
    present = {cause.name: cause for cause in CAUSES if cause.name in _SEVERITY}
    of_checkpoints: dict[str, Callable[[int], tuple[float | None, list[int]]]] = {
        "swapped_order": lambda step: (None, []),
        "off_path": lambda step: (_number(weights.detour[step]), off_layers(known, step)),
        "restart": lambda step: (_number(weights.move[step] / weights.usual_of_all[step]), []),
        "statistics_reset": lambda step: (None, []),
        "duplicate_checkpoint": lambda step: (0.0, []),
        "near_copy": lambda step: (_number(weights.move[step] / weights.usual_of_all[step]), []),
    }
    found = []
    part_of: set[int] = set()
    for name, describe in of_checkpoints.items():
        cause = present[name]
        assert cause.present is not None
        for step in np.flatnonzero(cause.present(known)).tolist():
            value, layers = describe(step)
            where = {"step": int(steps.step[step])}
            if name == "restart":
                where = {"from_step": int(steps.step[step - 1]), "to_step": int(steps.step[step])}
            entry = _entry(known, name, where, value, layers, cause.evidence(known, step))
            more = _detour(known, step, layers) if name == "off_path" else {}
            if name == "swapped_order":
                more = {"other_step": int(steps.step[step + 1])}
            found.append({**entry, **more})
            part_of |= {"swapped_order": {step, step + 1, step + 2}, "off_path": {step, step + 1},
                        "restart": {step}, "statistics_reset": {step}}.get(name, set())  # fmt: skip
    gap, jump = present["step_gap"], present["weight_jump"]
    assert gap.present is not None
    gaps = gap.present(known)
    for transition in np.flatnonzero(gaps).tolist():
        ends = (int(steps.step[end]) for end in known.ends(transition))
        where = dict(zip(("from_step", "to_step"), ends, strict=True))
        length = _number(known.length_ratio[transition])
        found.append(_entry(known, "step_gap", where, length, [], gap.evidence(known, transition)))
    for transition in np.flatnonzero(known.after(known.moved).any(axis=1)).tolist():
        before, after = known.ends(transition)
        ratio = weights.ratio[after]
        if after in part_of or (gaps[transition] and _is_of_gap(known, transition)):
            continue
        layers = np.flatnonzero(weights.jumped[after] | weights.began[after]).tolist()
        layers = sorted(layers, key=lambda layer: -_known(ratio)[layer])
        where = {"from_step": int(steps.step[before]), "to_step": int(steps.step[after])}
        value = _number(
            max((ratio[layer] for layer in layers if weights.jumped[after, layer]), default=np.nan)
        )
        entry = _entry(known, "weight_jump", where, value, layers, jump.evidence(known, transition))
        only_statistics = not weights.learned[layers].any()
        mild = value is None or value < LARGE_JUMP or only_statistics
        found.append({**entry, "severity": "mild" if mild else "far"})
    order = list(_SEVERITY)
    return sorted(
        found,
        key=lambda one: (
            order.index(one["cause"]),
            -(one["value"] or 0.0) if one["cause"] == "weight_jump" else 0,
        ),
    )


def _is_of_gap(known: Criteria, transition: int) -> bool:
    """Return whether layers moved further only since a transition is longer than those around it."""
    after = known.ends(transition)[1]
    ratio = known.weights.ratio[after][known.weights.jumped[after]]
    return bool((ratio <= JUMP * known.length_ratio[transition]).all())


def _detour(known: Criteria, step: int, layers: list[int]) -> dict[str, Any]:
    """Return whether all layers make a detour, what is ordinary without it, and where it belongs."""
    weights, place = known.weights, known.steps.step
    ordinary = weights.apart[step] < ORDINARY * weights.usual_of_all[step]
    without = [int(place[step - 1]), int(place[step + 1])] if ordinary else None
    like = weights.belongs_to(step)
    return {
        "all_layers": len(layers) == int(weights.learned.sum()),
        "without": without,
        "like_step": None if like is None else int(place[like]),
    }


def _entry(
    known: Criteria,
    cause: str,
    where: dict[str, int],
    value: float | None,
    layers: list[int],
    evidence: str,
) -> dict[str, Any]:
    return {
        "where": where,
        "cause": cause,
        "value": value,
        "layers": [known.steps.weight_layers[layer] for layer in layers],
        "severity": _SEVERITY[cause],
        "evidence": evidence,
    }


def _known(values: Floats) -> Floats:
    return np.nan_to_num(values, nan=0.0, posinf=0.0)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
