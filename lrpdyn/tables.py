"""The columns of metrics.csv and transitions.csv, and what they hold of each step or transition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from lrpdyn.by_step import Block
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
    return (*METRICS, *_region_names(regions))


def _region_names(regions: Regions | None) -> tuple[str, ...]:
    names = () if regions is None else regions.names
    return tuple(f"{kind}_{name}" for name in names for kind in OF_REGION)


def rows_by_sample(blocks: Iterable[Block], columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    """Yield a row for each sample of each block."""
    for block in blocks:
        samples = len(next(iter(block.each.values())))
        yield from zip(
            *(
                range(samples)
                if column == "sample"
                else block.each[column]
                if column in block.each
                else repeat(block.shared[column], samples)
                for column in columns
            ),
            strict=True,
        )


def metric_blocks(
    records: Sequence[Record], regions: Regions | None, areas: Floats | None,
    of_random: OfRandom | None,
) -> Iterator[Block]:  # fmt: skip
    """Yield what metrics.csv holds of each step.

    `areas` (R, N) is each region's share of the entries; None where there are no regions.
    """
    samples, of_regions = len(records[0].facts["score"]), _region_names(regions)
    random = np.full(samples, np.nan) if of_random is None else of_random.entropy
    random_shares = None if of_random is None else of_random.shares
    for record in records:
        measures, facts = record.explained, record.facts
        support, score = np.abs(numbers(facts["support"])), np.abs(numbers(facts["score"]))
        yield Block(
            {"step": facts["step"], "from_step_zero": measures.from_step_zero},
            {
                "target": facts["target"],
                "score": facts["score"],
                "argmax": facts["argmax"],
                "relevance_sum": measures.relevance_sum,
                "relevance_l1": measures.relevance_l1,
                "entropy": measures.entropy,
                "distance_from_first": measures.distance_from_first,
                "distance_from_first_l1": measures.distance_from_first_l1,
                "support": _over(support, score),
                "entropy_random": random,
                **dict(zip(of_regions, _region_columns(record, areas, random_shares), strict=True)),
            },
        )


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


def transition_blocks(
    records: Sequence[Record], facts: RunFacts, prediction_change: Floats
) -> Iterator[Block]:
    """Yield what transitions.csv holds of each transition; `prediction_change` is (T, N)."""
    steps, changes = facts.steps, facts.changes
    flips = criteria.flips(steps, changes)
    score_change = steps.score[changes.after] - steps.score[changes.before]
    for t, after in enumerate(changes.after.tolist()):
        transition = records[after].transition
        assert transition is not None
        length = transition.to_step - transition.from_step
        yield Block(
            {
                "from_step": transition.from_step,
                "to_step": transition.to_step,
                "step_gap": changes.left_out[t],
            },
            {
                "change": transition.change,
                "score_change": score_change[t],
                "scale_share": transition.scale_share,
                "argmax_changed": flips[t],
                "shape_share": 1 - transition.scale_share,
                "prediction_change": prediction_change[t],
                "cosine": transition.cosine,
                "rank_similarity": transition.rank_similarity,
                "change_per_unit": transition.change / length,
                "scale_factor": transition.scale_factor,
            },
        )
