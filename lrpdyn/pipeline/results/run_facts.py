"""The records of all steps as the outlier report and the tables take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lrpdyn.dynamics.accumulate import Dynamics
from lrpdyn.dynamics.measures import pixels
from lrpdyn.dynamics.step_table import Records
from lrpdyn.explain.units import recorded_units
from lrpdyn.files.streamed import Samples
from lrpdyn.lrp.registry import shows_support_only
from lrpdyn.outliers.facts import (
    Changes,
    Floats,
    Pixels,
    PixelsOfSample,
    Question,
    RunFacts,
    Steps,
    Truths,
)


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
    return RunFacts(
        question=Question(
            gives_only_support=shows_support_only(_last_rule(manifest)),
            target=manifest["target"]["policy"],
        ),
        steps=_steps(records),
        changes=_changes(records, gaps),
        pixels=Pixels(relative=relative, of_sample=lambda sample: _of_sample(dynamics, sample)),
    )


def _of_sample(dynamics: Dynamics, sample: int) -> PixelsOfSample:
    sums = dynamics.of(slice(sample, sample + 1))
    path = pixels(sums.dynamics.astype(np.float64))
    return PixelsOfSample(
        path=path[0], largest=sums.largest[0], largest_at=sums.largest_at[0].astype(np.int64)
    )


def prediction_changes(records: Records, manifest: Mapping[str, Any], facts: RunFacts) -> Floats:
    """Return sum_k |P_{i+1} - P_i| of each transition and sample, (T, N)."""
    predicted = recorded_units(manifest).predictions(records["outputs"])
    difference = predicted[facts.changes.after] - predicted[facts.changes.before]
    change: Floats = np.abs(difference).sum(axis=2)
    return change


def _last_rule(manifest: Mapping[str, Any]) -> str:
    rules = list(manifest["rule"]["layers"].values())
    return str(rules[-1]) if rules else ""


def _steps(records: Records) -> Steps:
    score = records["score"]
    size = np.where(score != 0, np.abs(score), np.nan)
    weight_layers, weight_change = records.weight_change
    activity_layers, dead = records.dead
    return Steps(
        step=records["step"],
        score=score,
        relevance_sum=records["relevance_sum"],
        relevance_l1=records["relevance_l1"],
        support=records["support"] / size,
        argmax=records["argmax"],
        finite=records["finite"],
        broken=tuple(records.broken),
        weight_layers=weight_layers,
        weight_change=weight_change,
        activity_layers=activity_layers,
        dead=dead,
    )


def _changes(records: Records, gaps: Sequence[int]) -> Changes:
    """Gather the transitions; the row before a transition's own is the step it starts from."""
    after = np.flatnonzero(records["from_step"][1:] >= 0) + 1
    return Changes(
        before=after - 1,
        after=after,
        change=records["change"][after],
        scale_share=records["scale_share"][after],
        scale_factor=records["scale_factor"][after],
        left_out=_within(gaps, records["from_step"][after], records["step"][after]),
    )


def _within(gaps: Sequence[int], begin: Any, end: Any) -> Truths:
    """Tell for each pair of steps (T,) whether a gap lies between them."""
    places = np.sort(np.array(gaps, dtype=np.int64))
    found: Truths = places.searchsorted(begin, "right") < places.searchsorted(end, "left")
    return found
