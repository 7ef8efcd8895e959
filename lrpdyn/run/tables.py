"""Tables with a row for each step, or each transition: medians and extremes over samples.

A table with a row for each sample, too, is what there is unless it were too long to be of use.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import RunError, UsageError

#: What a table may have a row for: each sample of a step, or each step.
TABLES = ("samples", "steps")
#: Tables of more rows are written by step, unless it is said otherwise.
MOST_ROWS = 10_000_000
#: Columns that hold the number of a unit: a median of them would mean nothing.
CATEGORIES = ("target", "argmax")
#: Columns that are true or false, each sample by itself.
FLAGS = ("argmax_changed",)
#: Columns that are the same for all samples, and stay as they are.
SHARED = ("step", "from_step", "to_step", "from_step_zero", "step_gap")
#: What is told of numbers, of the numbers of units, and of what is true or false.
_OF_NUMBERS = ("median", "least", "most")
_OF_CATEGORIES = ("most_common", "most_common_share")
_OF_FLAGS = ("share",)

Values = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True)
class Block:
    """What a table holds of one step or transition.

    Attributes
    ----------
    shared
        What is the same for all samples, by column.
    each
        A value for each sample, by column; None or NaN where there is none.
    """

    shared: Mapping[str, Any]
    each: Mapping[str, Values]


def check_tables(tables: str | None) -> None:
    """Raise UsageError where `tables` is none of those that there are; None leaves it to the size."""
    if tables is not None and tables not in TABLES:
        raise UsageError(f"tables '{tables}': expected {' or '.join(TABLES)}")


def tables_of(asked: str | None, samples: int, steps: int) -> str:
    """Return what the tables of a run have a row for: what was asked, else what its size allows.

    metrics.csv decides for both: there are fewer transitions than steps.
    """
    if asked is not None:
        return asked
    return "steps" if samples * steps > MOST_ROWS else "samples"


def columns_by_step(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of a table by step, from those of the table with a row for each sample."""
    return tuple(name for column in columns for name in _names(column))


def _names(column: str) -> tuple[str, ...]:
    if column == "sample":
        return ()
    if column in SHARED:
        return (column,)
    told: tuple[str, ...] = _OF_NUMBERS
    if column in CATEGORIES:
        told = _OF_CATEGORIES
    elif column in FLAGS:
        told = _OF_FLAGS
    return tuple(f"{column}_{one}" for one in told)


def rows_by_step(blocks: Iterable[Block], columns: Sequence[str]) -> Iterator[list[Any]]:
    """Yield a row for each block; `columns` are those of the table with a row for each sample."""
    for block in blocks:
        yield [
            value
            for column in columns
            if column != "sample"
            for value in (
                (block.shared[column],)
                if column in SHARED
                else _over_samples(column, block.each[column])
            )
        ]


def _over_samples(column: str, values: Values) -> Sequence[Any]:
    if column in CATEGORIES:
        return _most_common([value for value in values if value is not None])
    known = np.array(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    if not known.size:
        return [None] * len(_names(column))
    if column in FLAGS:
        return [known.mean()]
    with np.errstate(invalid="ignore", over="ignore"):  # between infinities is no number
        return [np.median(known), known.min(), known.max()]


def _most_common(units: Sequence[int]) -> Sequence[Any]:
    """Return the most common unit, of several the lowest, and the share of samples that have it."""
    if not units:
        return [None, None]
    found, counts = np.unique(units, return_counts=True)
    place = int(counts.argmax())
    return [int(found[place]), counts[place] / len(units)]


def medians_in(columns: Iterable[str]) -> list[str]:
    """Return the columns whose medians a table by step has, in its order."""
    names = list(columns)
    known = set(names)
    medians = [name.removesuffix("_median") for name in names if name.endswith("_median")]
    # A region may be called median, or left_median.
    return [name for name in medians if set(_names(name)) <= known]


_INTEGERS = {"step", "sample", "target", "argmax", "from_step", "to_step", "target_most_common",
             "argmax_most_common"}  # fmt: skip
_TRUTHS = {"argmax_changed", "step_gap", "from_step_zero"}


class Table(np.ndarray):
    """A structured array: ``table["change"]`` is a column.

    Raises
    ------
    RunError
        There is no such column: the file was edited, or has a row for each step and the column is one
        of samples.
    """

    def __getitem__(self, key: Any) -> Any:
        names = self.dtype.names or ()
        if isinstance(key, str) and names and key not in names:
            instead = columns_by_step([key])
            if key == "sample" or set(instead) <= set(names):
                has = f", and {', '.join(instead)}" if instead else ""
                raise RunError(
                    f"no column {key}: the table has a row for each step{has}; the command that made "
                    "the run, with --tables samples, writes a row for each sample"
                )
            raise RunError(
                f"no column {key}: the table has {', '.join(names)}; if it was edited, the command that "
                "made the run writes it anew"
            )
        return super().__getitem__(key)

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame; needs pandas."""
        import pandas

        return pandas.DataFrame({name: np.asarray(self[name]) for name in self.dtype.names or ()})


def read_table(content: bytes, needed: Sequence[str]) -> Table:
    """Return a table that begins with the columns `needed`; raises ValueError where it is none."""
    try:
        header, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
        if tuple(header[: len(needed)]) != tuple(needed):
            raise ValueError(f"its columns begin otherwise than with {', '.join(needed)}")
        kinds = [
            (name, "i8" if name in _INTEGERS else "?" if name in _TRUTHS else "f8")
            for name in header
        ]
        table = np.empty(len(rows), dtype=kinds)
        if any(len(row) != len(header) for row in rows):
            raise ValueError("a row has more or fewer cells than its header")
        for position, (name, kind) in enumerate(kinds):
            column = [row[position] for row in rows]
            if kind == "f8":
                table[name] = [float(cell) if cell else np.nan for cell in column]
            else:
                table[name] = [int(cell) if cell else -1 for cell in column]
    except (IndexError, OverflowError, TypeError, csv.Error) as error:
        raise ValueError(str(error)) from error
    return table.view(Table)
