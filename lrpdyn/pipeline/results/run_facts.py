"""The records of all steps as the outlier report and the tables take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lrpdyn.dynamics.accumulate import Dynamics
from lrpdyn.dynamics.step_table import NO_TRANSITION, Records
from lrpdyn.explain.units import recorded_units
from lrpdyn.files.streamed import Samples
from lrpdyn.lrp.registry import shows_support_only
from lrpdyn.outliers.facts import Changes, Floats, RunFacts, Steps
from lrpdyn.run.reader import axes_of


def run_facts(
    records: Records,
    manifest: Mapping[str, Any],
    dynamics: Dynamics,
    relative: Samples,
    gaps: Sequence[int],
) -> RunFacts:
    """Gather what is known of a run, of whose steps one is explained at least.

    Parameters
    ----------
    relative
        Relative dynamics, as it was stored.
    gaps
        Steps of checkpoints that were skipped.
    """
    rules = list(manifest["rule"]["layers"].values())
    size = np.where(records["score"] != 0, np.abs(records["score"]), np.nan)
    weight_layers, of_weights = records.weights
    activity_layers, of_units = records.units
    of_steps = ("step", "score", "relevance_sum", "relevance_l1", "argmax", "finite", "outline")
    steps = Steps(
        **{name: records[name] for name in of_steps},
        support=records["support"] / size,
        broken=tuple(records.broken),
        weight_layers=weight_layers,
        weight_norm=of_weights["norm"],
        weight_change=of_weights["change"],
        weight_back=of_weights["back"],
        weight_sketch=records["sketch"].astype(np.float64),
        reset=tuple(records.reset),
        activity_layers=activity_layers,
        dead=of_units["dead"],
        dormant=of_units["dormant"],
        rank=of_units["rank"],
        faithfulness=np.full(
            len(records["step"]), np.nan
        ),  # checks measure it: `with_faithfulness`
        faithfulness_band=np.full((len(records["step"]), 2), np.nan),
    )
    # The row before a transition's own is the step it starts from.
    after = np.flatnonzero(records["from_step"][1:] != NO_TRANSITION) + 1
    begin, end = records["from_step"][after], records["step"][after]
    places = np.sort(np.array(gaps, dtype=np.int64))
    changes = Changes(
        before=after - 1,
        after=after,
        **{
            name: records[name][after]
            for name in ("change", "scale_share", "scale_factor", "growth_share")
        },
        left_out=places.searchsorted(begin, "right") < places.searchsorted(end, "left"),
    )
    return RunFacts(
        gives_only_support=shows_support_only(rules[-1] if rules else ""),
        conserves=manifest.get("about_rule", {}).get("conserves", True),
        follows_preference=manifest["target"]["policy"].rpartition(":")[2] in ("argmax", "largest"),
        steps=steps,
        changes=changes,
        relative=relative,
        sums=dynamics.of,
        of_features_in_time=axes_of(manifest)[0] == "time" and relative.ndim == 3,
        settings={
            "rule": manifest["rule"]["name"],
            "target": manifest["target"]["policy"],
            "normalize": manifest["normalize"],
            "contrast": manifest["contrast"],
        },
        names=manifest.get("names", {}),
    )


def with_faithfulness(facts: RunFacts, measured: Sequence[Mapping[str, Any]]) -> RunFacts:
    """Return facts with how well the maps predict what matters, at the steps where it was measured.

    `measured` has for each of these its ``step``, the median ``abpc`` of each map, null where the score is
    flat, and the ``random_band``.
    """
    steps = facts.steps
    rule, band = steps.faithfulness.copy(), steps.faithfulness_band.copy()
    for one in measured:
        if one["abpc"]["rule"] is not None:
            place = steps.step == one["step"]
            rule[place] = one["abpc"]["rule"]
            band[place] = one["random_band"]["low"], one["random_band"]["high"]
    return replace(facts, steps=replace(steps, faithfulness=rule, faithfulness_band=band))


def prediction_changes(records: Records, manifest: Mapping[str, Any], facts: RunFacts) -> Floats:
    """Return sum_k |P_{i+1} - P_i| of each transition and sample, (T, N)."""
    predicted = recorded_units(manifest).predictions(records["outputs"])
    difference = predicted[facts.changes.after] - predicted[facts.changes.before]
    change: Floats = np.abs(difference).sum(axis=2)
    return change
