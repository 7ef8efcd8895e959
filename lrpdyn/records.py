"""The records of all steps as arrays: what the outlier report and the tables are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.dynamics import Dynamics
from lrpdyn.measured import Measures, Transition
from lrpdyn.measures import gives_probabilities, pixels, predictions
from lrpdyn.outliers.facts import Changes, Floats, Pixels, PixelsOfSample, Question, RunFacts, Steps
from lrpdyn.streamed import Samples


@dataclass(frozen=True)
class Record:
    """A checkpoint's line of the journal, its measures, and the transition that leads to it.

    `shares` (R, N) is the share of sum|R| in each region, where regions are given; `outline` the
    L1-normalised map of a mean sample, summed over coarse patches.
    """

    facts: dict[str, Any]
    measures: Measures | None
    transition: Transition | None
    shares: Floats | None = None
    outline: Floats | None = None

    @staticmethod
    def bad(checkpoint: Checkpoint, reason: str) -> Record:
        """Return the record of a checkpoint that could not be loaded."""
        facts = {"step": checkpoint.step, "path": str(checkpoint.path), "format": checkpoint.format,
                 "sha256": None, "status": "bad", "reason": reason}  # fmt: skip
        return Record(facts, None, None)

    @property
    def explained(self) -> Measures:
        """The measures of a record whose checkpoint could be loaded."""
        assert self.measures is not None
        return self.measures


@dataclass(frozen=True)
class OfRandom:
    """What the maps of random networks measure, means over the networks.

    `entropy` is (N,), `shares` of regions (R, N), None where there are no regions.
    """

    entropy: Floats
    shares: Floats | None


def numbers(values: Sequence[Any]) -> Floats:
    """Return plain data as float64; None becomes NaN."""
    found: Floats = np.array(values, dtype=np.float64)
    return found


def run_facts(
    records: Sequence[Record],
    manifest: Mapping[str, Any],
    dynamics: Dynamics,
    relative: Samples,
    gaps: Sequence[int],
) -> RunFacts:
    """Gather what is known of a run.

    Parameters
    ----------
    records
        Of the steps that could be loaded, in order.
    relative
        Relative dynamics, as it was stored.
    gaps
        Steps of checkpoints that were left out.
    """
    return RunFacts(
        Question(_last_rule(manifest), manifest["target"]["policy"]),
        _steps(records),
        _changes(records, gaps),
        Pixels(relative, lambda sample: _of_sample(dynamics, sample)),
    )


def _of_sample(dynamics: Dynamics, sample: int) -> PixelsOfSample:
    sums = dynamics.of(slice(sample, sample + 1))
    path = pixels(sums.dynamics.astype(np.float64))
    return PixelsOfSample(path[0], sums.largest[0], sums.largest_at[0].astype(np.int64))


def prediction_changes(
    records: Sequence[Record], manifest: Mapping[str, Any], facts: RunFacts
) -> Floats:
    """Return sum_k |P_{i+1} - P_i| of each transition and sample, (T, N)."""
    outputs = np.stack([numbers(record.facts["outputs"]) for record in records])
    continuous = bool(manifest["architecture"]["arguments"].get("log_std"))
    kind = gives_probabilities(manifest["head"], outputs.shape[2], continuous=continuous)
    predicted = predictions(outputs, probabilities=kind)
    difference = predicted[facts.changes.after] - predicted[facts.changes.before]
    change: Floats = np.abs(difference).sum(axis=2)
    return change


def _last_rule(manifest: Mapping[str, Any]) -> str:
    rules = list(manifest["rule"]["layers"].values())
    return str(rules[-1]) if rules else ""


def _steps(records: Sequence[Record]) -> Steps:
    found = [record.facts["evidence"] for record in records]
    weight_layers = _names(one["weights"]["change"] for one in found)
    activity_layers = _names(one["dead"] for one in found)
    score = numbers([record.facts["score"] for record in records])
    support = numbers([record.facts["support"] for record in records])
    size = np.where(score != 0, np.abs(score), np.nan)
    return Steps(
        step=np.array([record.facts["step"] for record in records], dtype=np.int64),
        score=score,
        relevance_sum=np.stack([record.explained.relevance_sum for record in records]),
        relevance_l1=np.stack([record.explained.relevance_l1 for record in records]),
        support=support / size,
        argmax=np.array(
            [[-1 if a is None else a for a in record.facts["argmax"]] for record in records],
            dtype=np.int64,
        ),
        finite=np.array([record.facts["status"] == "done" for record in records]),
        broken=tuple(broken_places(record) for record in records),
        weight_layers=weight_layers,
        weight_change=_column([one["weights"]["change"] for one in found], weight_layers),
        activity_layers=activity_layers,
        dead=_column([one["dead"] for one in found], activity_layers),
    )


def broken_places(record: Record) -> tuple[str, ...]:
    """Return where NaN or infinity is, the cause before what follows from it."""
    facts = record.facts
    if facts["status"] == "done":
        return ()
    layers = facts["evidence"]["weights_not_finite"]
    places = [f"the weights of {', '.join(layers)}"] if layers else []
    if any(output is None for row in facts["outputs"] for output in row):
        places.append("the outputs")
    if not facts["relevance_finite"]:
        places.append("the relevance")
    return tuple(places)


def _names(tables: Any) -> tuple[str, ...]:
    """Return the names of all tables, in the order in which they are met."""
    return tuple(dict.fromkeys(name for table in tables for name in (table or {})))


def _column(tables: Sequence[Mapping[str, float | None] | None], names: Sequence[str]) -> Floats:
    rows = [[(table or {}).get(name) for name in names] for table in tables]
    return numbers(rows).reshape(len(tables), len(names))


def _changes(records: Sequence[Record], gaps: Sequence[int]) -> Changes:
    """Gather the transitions; the record before a transition's own is the step it starts from."""
    pairs = [
        (place, record.transition)
        for place, (_, record) in enumerate(pairwise(records))
        if record.transition is not None
    ]
    samples = len(records[0].facts["score"])
    before = np.array([place for place, _ in pairs], dtype=np.int64)

    def stacked(rows: list[NDArray[np.float64]]) -> Floats:
        return np.array(rows, dtype=np.float64).reshape(len(pairs), samples)

    return Changes(
        before=before,
        after=before + 1,
        change=stacked([transition.change for _, transition in pairs]),
        scale_share=stacked([transition.scale_share for _, transition in pairs]),
        scale_factor=stacked([transition.scale_factor for _, transition in pairs]),
        left_out=np.array(
            [any(t.from_step < gap < t.to_step for gap in gaps) for _, t in pairs],
            dtype=np.bool_,
        ),
    )
