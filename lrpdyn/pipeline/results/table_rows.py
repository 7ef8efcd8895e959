"""The columns of metrics.csv and transitions.csv, and what they hold of each step or transition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from lrpdyn.dynamics.one_step import OfRandom
from lrpdyn.dynamics.step_table import MEASURES, TRANSITION, Records
from lrpdyn.observations.regions import Regions
from lrpdyn.outliers.criteria import Criteria
from lrpdyn.outliers.facts import Floats, Integers, RunFacts
from lrpdyn.run.tables import Block

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
    records: Records, regions: Regions | None, areas: Floats | None, of_random: OfRandom | None
) -> Iterator[Block]:
    """Yield what metrics.csv holds of each step.

    `areas` (R, N) is each region's share of the entries; None where there are no regions.
    """
    of_regions = _region_names(regions)
    support, score = np.abs(records["support"]), np.abs(records["score"])
    random = np.full(score.shape[1], np.nan) if of_random is None else of_random.entropy
    random_shares = None if of_random is None else of_random.shares
    numbers = {name: records[name] for name in ("score", *MEASURES)}
    units = {name: records[name] for name in ("target", "argmax")}
    steps, from_step_zero = records["step"].tolist(), records["from_step_zero"].tolist()
    for row, step in enumerate(steps):
        columns = () if areas is None else _region_columns(records, row, areas, random_shares)
        yield Block(
            {"step": step, "from_step_zero": from_step_zero[row]},
            {
                **{name: values[row].tolist() for name, values in numbers.items()},
                **{name: _known(values[row]) for name, values in units.items()},
                "support": _over(support[row], score[row]).tolist(),
                "entropy_random": random,
                **dict(zip(of_regions, columns, strict=True)),
            },
        )


def _known(units: Integers) -> list[int | None]:
    return [None if unit < 0 else unit for unit in units.tolist()]


def _region_columns(
    records: Records, row: int, areas: Floats, random_shares: Floats | None
) -> Floats:
    """Return the columns of the regions of one step, (4 R, N)."""
    shares = records["shares"][row]
    unknown = np.full(shares.shape, np.nan)
    columns = [
        shares,
        _over(shares, areas),
        unknown if random_shares is None else _over(shares, random_shares),
        records["effects"][row] if "effects" in records else unknown,
    ]
    return np.stack(columns, axis=1).reshape(-1, shares.shape[1])


def _over(values: Floats, by: Floats) -> Floats:
    return np.where(by > 0, values / np.where(by > 0, by, 1.0), np.nan)


def transition_blocks(
    records: Records, facts: RunFacts, prediction_change: Floats
) -> Iterator[Block]:
    """Yield what transitions.csv holds of each transition; `prediction_change` is (T, N)."""
    steps, changes = facts.steps, facts.changes
    flips = Criteria(facts).flips
    score_change = steps.score[changes.after] - steps.score[changes.before]
    columns = {name: records[name] for name in TRANSITION}
    for t, after in enumerate(changes.after.tolist()):
        from_step, to_step = int(records["from_step"][after]), int(steps.step[after])
        of_transition = {name: values[after] for name, values in columns.items()}
        change, scale_share = of_transition["change"], of_transition["scale_share"]
        yield Block(
            {"from_step": from_step, "to_step": to_step, "step_gap": changes.left_out[t]},
            {
                **{name: values.tolist() for name, values in of_transition.items()},
                "score_change": score_change[t].tolist(),
                "argmax_changed": flips[t],
                "shape_share": (1 - scale_share).tolist(),
                "prediction_change": prediction_change[t].tolist(),
                "change_per_unit": (change / (to_step - from_step)).tolist(),
            },
        )
