"""What metrics.csv and transitions.csv hold of each step or transition, by column.

A column is in the step table under its name, or is made here of what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.columns import columns_of, names_of
from lrpdyn.dynamics.measures import cosines
from lrpdyn.dynamics.one_step import OfRandom
from lrpdyn.dynamics.step_table import Records
from lrpdyn.files.names import NO_NAMES, Names
from lrpdyn.files.streamed import IN_CACHE, LARGEST_IN_MEMORY, Samples, opened, slices
from lrpdyn.observations.regions import Regions
from lrpdyn.outliers.criteria import Criteria
from lrpdyn.outliers.facts import Floats, RunFacts
from lrpdyn.run.stored_maps import Storage
from lrpdyn.run.tables import Values

#: For each region, the columns that metrics.csv ends with.
OF_REGION = ("share", "share_per_area", "share_per_random", "effect")


def metric_columns(regions: Regions | None) -> tuple[str, ...]:
    """Return the columns of metrics.csv."""
    return (*names_of("step"), *_region_names(regions))


def _region_names(regions: Regions | None) -> tuple[str, ...]:
    names = () if regions is None else regions.names
    return tuple(f"{kind}_{name}" for name in names for kind in OF_REGION)


def metric_values(
    records: Records,
    regions: Regions | None,
    areas: Floats | None,
    of_random: OfRandom | None,
    faithfulness: Mapping[int, Floats],
    to_last: Mapping[int, Floats],
    names: Names = NO_NAMES,
) -> Iterator[Values]:
    """Yield what metrics.csv holds of each step.

    `areas` (R, N) is each region's share of the entries; None where there are no regions. `faithfulness`
    (N,) is by step, of those that were measured, as `to_last` is (`cosines_to_last`).
    """
    of_regions = _region_names(regions)
    support, score = np.abs(records["support"]), np.abs(records["score"])
    random = np.full(score.shape[1], np.nan) if of_random is None else of_random.entropy
    random_shares = None if of_random is None else of_random.shares
    unknown, steps = np.full(score.shape[1], np.nan), records["step"].tolist()
    of_samples = _sample_names(names, score.shape[1])
    made: dict[str, Callable[[int], Any]] = {
        "faithfulness": lambda row: faithfulness.get(steps[row], unknown),
        "cosine_to_last": lambda row: to_last.get(steps[row], unknown),
        "support": lambda row: _ratio(support[row], score[row]),
        "entropy_random": lambda row: random,
        "sample_name": lambda row: of_samples,
        "target_name": lambda row: _unit_names(names, records["target"][row]),
        "argmax_name": lambda row: _unit_names(names, records["argmax"][row]),
    }
    kept = {
        column.name: (records[column.name], column.dtype == "i8")
        for column in columns_of("step")
        if column.name not in ("sample", *made)
    }
    for row in range(records.explained):
        regional = (
            () if areas is None else _region_columns(records, row, areas, random_shares).tolist()
        )
        yield {
            **{name: _plain(values[row], units=units) for name, (values, units) in kept.items()},
            **{name: _listed(make(row)) for name, make in made.items()},
            **dict(zip(of_regions, regional, strict=True)),
        }


def _listed(values: NDArray[Any] | list[str]) -> Any:
    return values if isinstance(values, list) else values.tolist()


def _sample_names(names: Names, count: int) -> list[str]:
    known = names.get("samples", {})
    return [known.get(str(sample), "") for sample in range(count)]


def _unit_names(names: Names, units: NDArray[Any]) -> list[str]:
    known = names.get("units", {})
    return [known.get(str(unit), "") for unit in units.tolist()]


def cosines_to_last(folder: Path, storage: Storage, steps: Sequence[int]) -> dict[int, Floats]:
    """Return the cosine (N,) of each finite step's raw maps and those of the last, by step.

    Which step is the last is known at the end alone: the maps are read once more. Nothing where they are
    not kept as they are.
    """
    if not storage.whole or not steps:
        return {}
    maps = {step: opened(storage.maps_path(folder, step)) for step in steps}
    last: Samples = maps[steps[-1]]
    last = last[:] if last.size * last.dtype.itemsize <= LARGEST_IN_MEMORY else last
    pieces = list(slices(last.shape, IN_CACHE))
    return {
        step: np.concatenate([cosines(values[piece], last[piece]) for piece in pieces])
        for step, values in maps.items()
    }


def _plain(values: NDArray[Any], *, units: bool) -> Any:
    """Return values as Python's own; numbers of units are None where there is none."""
    plain = values.tolist()
    return [None if unit < 0 else unit for unit in plain] if units and values.ndim else plain


def _region_columns(
    records: Records, row: int, areas: Floats, random_shares: Floats | None
) -> Floats:
    """Return the columns of the regions of one step, (4 R, N)."""
    shares = records["shares"][row]
    unknown = np.full(shares.shape, np.nan)
    columns = [
        shares,
        _ratio(shares, areas),
        unknown if random_shares is None else _ratio(shares, random_shares),
        records["effects"][row] if "effects" in records else unknown,
    ]
    return np.stack(columns, axis=1).reshape(-1, shares.shape[1])


def _ratio(values: Floats, divisor: Floats) -> Floats:
    """Return values / divisor; NaN where that is zero or less."""
    return np.where(divisor > 0, values / np.where(divisor > 0, divisor, 1.0), np.nan)


def transition_values(
    records: Records, facts: RunFacts, prediction_change: Floats
) -> Iterator[Values]:
    """Yield what transitions.csv holds of each transition; `prediction_change` is (T, N)."""
    steps, changes = facts.steps, facts.changes
    begin, end = records["from_step"][changes.after], steps.step[changes.after]
    flips = Criteria(facts).flips
    score_change = steps.score[changes.after] - steps.score[changes.before]
    made: dict[str, Callable[[int], Any]] = {
        "from_step": lambda t: begin[t],
        "to_step": lambda t: end[t],
        "step_gap": lambda t: changes.left_out[t],
        "score_change": lambda t: score_change[t],
        "argmax_changed": lambda t: flips[t],
        "shape_share": lambda t: 1 - changes.scale_share[t],
        "prediction_change": lambda t: prediction_change[t],
        "change_per_unit": lambda t: changes.change[t] / (end[t] - begin[t]),
    }
    of_samples = {"sample_name": _sample_names(facts.names, steps.score.shape[1])}
    made_here = ("sample", *made, *of_samples)
    kept = {name: records[name] for name in names_of("transition") if name not in made_here}
    for t, after in enumerate(changes.after.tolist()):
        yield {
            **{name: values[after].tolist() for name, values in kept.items()},
            **{name: _listed(make(t)) for name, make in made.items()},
            **of_samples,
        }
