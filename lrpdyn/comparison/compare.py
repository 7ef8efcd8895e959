"""Any number of runs next to each other, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lrpdyn.comparison.basins import Basins, basins_of
from lrpdyn.comparison.belonging import Difference, differences
from lrpdyn.comparison.comparison import MOST_PAIRED, Comparison
from lrpdyn.comparison.comparison import compare as compare_maps
from lrpdyn.comparison.found import find_runs
from lrpdyn.comparison.groups import Mean, group_means, group_names
from lrpdyn.comparison.readable import of_readable
from lrpdyn.comparison.rows import Row, chosen_columns, read_rows, sorted_places
from lrpdyn.errors import UsageError
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.tables import Table


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Runs next to each other.

    Attributes
    ----------
    rows, columns
        A row of plain values for each run, and the columns that were requested.
    by, names, means
        What runs are grouped by, the group of each, and each column's mean over the runs of a group.
    differences
        The settings in which runs differ, with what cannot be compared for that.
    maps, no_maps
        How alike the dynamics of each two of at most eight runs are, and the outliers of all; None where
        their observations differ. What was not compared, and why.
    basins
        What differs between runs that were asked the same of the same observations.
    skipped
        A line on each run that cannot be read.
    """

    rows: Sequence[Row]
    columns: Sequence[str]
    by: str
    names: Sequence[str]
    means: Sequence[Mean]
    differences: Sequence[Difference]
    maps: Comparison | None
    no_maps: str
    basins: Sequence[Basins]
    skipped: Sequence[str]

    @property
    def runs(self) -> Table:
        """A row for each run, its group first; numbers that a run does not have are NaN."""
        rows = [
            {"group": name, **{column: row[column] for column in self.columns}}
            for name, row in zip(self.names, self.rows, strict=True)
        ]
        return _frame(rows)

    @property
    def groups(self) -> Table:
        """A row for each group and column: runs, trainings, mean, spread, low, high and why."""
        return _frame([vars(mean) for mean in self.means])


def compare(
    runs: Sequence[str | Path],
    *,
    by: str = "rule",
    metrics: Sequence[str] = (),
    sort: str | None = None,
) -> Compared:
    """Compare two or more runs, as ``lrpdyn compare`` does.

    Parameters
    ----------
    runs
        Run folders, folders of them, or patterns.
    by
        What groups them: rule, seed, head, or a regular expression with one group, for their paths.
    metrics
        The columns that are wanted; all where none is given.
    sort
        The column that sorts the runs; the largest first after a minus.

    Raises
    ------
    UsageError
        There are fewer than two runs, or there is no such column or group.
    RunError
        Fewer than two of them can be read.
    """
    folders = find_runs(runs)
    if len(folders) < 2:
        raise UsageError(
            f"compare: expected two runs or more, found {len(folders)} ({folders[0]}); give another, too: "
            "lrpdyn compare RUN RUN"
        )
    read = partial(_compared, by=by, metrics=metrics, sort=sort)
    found, skipped = of_readable(folders, read, "compare")
    return replace(found, skipped=list(skipped.values()))


def _compared(
    runs: Sequence[RunFolder], *, by: str, metrics: Sequence[str], sort: str | None
) -> Compared:
    """Return the comparison of runs, each of which can be read."""
    rows = read_rows([run.path for run in runs])
    columns = chosen_columns(rows, metrics)
    order = sorted_places(rows, sort)
    rows, runs = [rows[place] for place in order], [runs[place] for place in order]
    names = group_names(rows, by)
    maps, no_maps = _maps(runs, rows)
    return Compared(
        rows=rows,
        columns=columns,
        by=by,
        names=names,
        means=group_means(rows, names, columns),
        differences=differences(rows, columns),
        maps=maps,
        no_maps=no_maps,
        basins=basins_of(runs, rows),
        skipped=(),
    )


def _maps(runs: Sequence[RunFolder], rows: Sequence[Row]) -> tuple[Comparison | None, str]:
    if len({row["observations"] for row in rows}) > 1:
        return None, "Maps and outliers are not compared: their observations differ."
    many = len(rows) > MOST_PAIRED
    why = [f"Dynamics are not compared two by two: there are more than {MOST_PAIRED} runs."] * many
    without = [row["path"] for run, row in zip(runs, rows, strict=True) if run.keep == "none"]
    if without:
        why.append(f"No basins of {', '.join(without)}: no maps are kept (--keep none).")
    return compare_maps(runs), " ".join(why)


def _frame(rows: Sequence[dict[str, Any]]) -> Table:
    """Return rows as a structured array: texts where a column has any, else float64."""
    names = list(rows[0]) if rows else []
    columns = {}
    for name in names:
        values = [row[name] for row in rows]
        is_text = any(isinstance(value, str) for value in values)
        columns[name] = (
            np.array(["" if value is None else str(value) for value in values])
            if is_text
            else np.array(
                [np.nan if value is None else value for value in values], dtype=np.float64
            )
        )
    table = np.empty(len(rows), dtype=[(name, columns[name].dtype) for name in names])
    for name in names:
        table[name] = columns[name]
    return table.view(Table)
