"""The rows of metrics.csv and transitions.csv, one for each sample of a step or a transition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lrpdyn.outliers import criteria
from lrpdyn.outliers.facts import Floats, RunFacts
from lrpdyn.records import OfRandom, Record, numbers
from lrpdyn.regions import Regions

METRICS = ("step", "sample", "target", "score", "argmax", "relevance_sum", "relevance_l1",
           "entropy", "distance_from_first", "distance_from_first_l1", "from_step_zero",
           "support", "entropy_random")  # fmt: skip
TRANSITIONS = ("from_step", "to_step", "sample", "change", "score_change", "scale_share",
               "argmax_changed", "step_gap", "shape_share", "prediction_change", "cosine",
               "rank_similarity", "change_per_unit", "scale_factor")  # fmt: skip
#: For each region, the columns that metrics.csv ends with.
OF_REGION = ("share", "share_per_area", "share_per_random", "effect")


def metric_columns(regions: Regions | None) -> tuple[str, ...]:
    """Return the columns of metrics.csv."""
    names = () if regions is None else regions.names
    return (*METRICS, *(f"{kind}_{name}" for name in names for kind in OF_REGION))


def metric_rows(
    records: Sequence[Record], areas: Floats | None, of_random: OfRandom | None
) -> Iterator[list[Any]]:
    """Yield the rows of metrics.csv.

    `areas` (R, N) is each region's share of the entries; None where there are no regions.
    """
    samples = len(records[0].facts["score"])
    random = np.full(samples, np.nan) if of_random is None else of_random.entropy
    random_shares = None if of_random is None else of_random.shares
    for record in records:
        measures, facts = record.explained, record.facts
        support = numbers(facts["support"])
        of_regions = _region_columns(record, areas, random_shares)
        for n, score in enumerate(facts["score"]):
            yield [facts["step"], n, facts["target"][n], score, facts["argmax"][n],
                   measures.relevance_sum[n], measures.relevance_l1[n], measures.entropy[n],
                   measures.distance_from_first[n], measures.distance_from_first_l1[n],
                   measures.from_step_zero, abs(support[n] / score) if score else None, random[n],
                   *of_regions[:, n]]  # fmt: skip


def _region_columns(record: Record, areas: Floats | None, random_shares: Floats | None) -> Floats:
    """Return the columns of the regions of one step, (4 R, N)."""
    if record.shares is None or areas is None:
        return np.zeros((0, len(record.facts["score"])))
    effects = record.facts["evidence"].get("effects")
    unknown = np.full(record.shares.shape, np.nan)
    columns = [
        record.shares,
        _over(record.shares, areas),
        unknown if random_shares is None else _over(record.shares, random_shares),
        unknown if effects is None else numbers(effects),
    ]
    return np.stack(columns, axis=1).reshape(-1, record.shares.shape[1])


def _over(values: Floats, by: Floats) -> Floats:
    return np.where(by > 0, values / np.where(by > 0, by, 1.0), np.nan)


def transition_rows(
    records: Sequence[Record], facts: RunFacts, prediction_change: Floats
) -> Iterator[list[Any]]:
    """Yield the rows of transitions.csv; `prediction_change` is (T, N)."""
    steps, changes = facts.steps, facts.changes
    flips = criteria.flips(steps, changes)
    score_change = steps.score[changes.after] - steps.score[changes.before]
    for t, after in enumerate(changes.after.tolist()):
        transition = records[after].transition
        assert transition is not None
        length = transition.to_step - transition.from_step
        for n in range(changes.change.shape[1]):
            yield [transition.from_step, transition.to_step, n, transition.change[n],
                   score_change[t, n], transition.scale_share[n], flips[t, n],
                   changes.left_out[t], 1 - transition.scale_share[n], prediction_change[t, n],
                   transition.cosine[n], transition.rank_similarity[n],
                   transition.change[n] / length, transition.scale_factor[n]]  # fmt: skip
