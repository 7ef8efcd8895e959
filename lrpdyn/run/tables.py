"""Tables with a row for each step, or each transition: medians and extremes over samples.

A table with a row for each sample, too, is what there is unless it were too long to be of use.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, repeat
from pathlib import Path
from sys import intern
from typing import IO, Any

import numpy as np

from lrpdyn.dynamics.columns import ENDINGS, OverSamples, dtype_of, over_samples
from lrpdyn.errors import RunError, UsageError
from lrpdyn.files.atomic import save_table

#: What a table may have a row for: each sample of a step, or each step.
TABLES = ("samples", "steps")
#: Tables of more rows are written by step, unless it is said otherwise.
MOST_ROWS = 10_000_000
#: Rows that are read at once.
_ROWS = 4096
#: What a table holds of one step or transition, by column: one value of what is the same for all samples,
#: else one for each, None or NaN where there is none.
Values = Mapping[str, Any]


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
    return tuple(f"{column}{end}" for column in columns for end in ENDINGS[over_samples(column)])


def save_values(path: Path, tables: str, columns: Sequence[str], steps: Iterable[Values]) -> None:
    """Write a table by sample or by step, one of `TABLES`; `columns` are those of one by sample."""
    if tables == "steps":
        save_table(path, columns_by_step(columns), rows_by_step(steps, columns))
    else:
        save_table(path, columns, rows_by_sample(steps, columns))


def rows_by_sample(steps: Iterable[Values], columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    """Yield a row for each sample of each step or transition."""
    over = {column: over_samples(column) for column in columns}
    for values in steps:
        samples = next(
            len(values[name]) for name in columns if over[name] not in ("same", "number")
        )
        yield from zip(
            *(
                range(samples)
                if over[name] == "number"
                else repeat(values[name], samples)
                if over[name] == "same"
                else values[name]
                for name in columns
            ),
            strict=True,
        )


def rows_by_step(steps: Iterable[Values], columns: Sequence[str]) -> Iterator[list[Any]]:
    """Yield a row for each step or transition; `columns` are those of a table by sample."""
    over = {column: over_samples(column) for column in columns}
    for values in steps:
        yield [
            value
            for name, how in over.items()
            if ENDINGS[how]
            for value in (
                (values[name],)
                if how == "same"
                else (_most_common_name(values[name.removesuffix("_name")], values[name]),)
                if how == "unit name"
                else _summed_up(how, values[name])
            )
        ]


def _summed_up(over: OverSamples, values: Sequence[Any]) -> Sequence[Any]:
    if over == "most common":
        return _most_common([value for value in values if value is not None])
    known = np.array(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    if not known.size:
        return [None] * len(ENDINGS[over])
    if over == "share":
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


def _most_common_name(units: Sequence[int | None], names: Sequence[str]) -> str:
    """Return the name of the unit that `_most_common` gives."""
    unit, _ = _most_common([unit for unit in units if unit is not None])
    return "" if unit is None else names[list(units).index(unit)]


def medians_in(columns: Iterable[str]) -> list[str]:
    """Return the columns whose medians a table by step has, in its order."""
    names = list(columns)
    known = set(names)
    medians = [name.removesuffix("_median") for name in names if name.endswith("_median")]
    # A region may be called median, or left_median.
    return [name for name in medians if known.issuperset(columns_by_step([name]))]


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


def read_table(file: IO[bytes], needed: Sequence[str]) -> Table:
    """Return the table of a file that begins with the columns `needed`.

    The file, which is closed then, is read some rows at a time: all of it as text would take ten times
    the memory of the table.

    Raises
    ------
    ValueError
        It is no such table.
    """
    try:
        with io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
            return _table_of(csv.reader(text), needed)
    except (IndexError, OverflowError, StopIteration, TypeError, csv.Error) as error:
        raise ValueError(str(error) or "it is empty") from error


def _table_of(rows: Iterator[list[str]], needed: Sequence[str]) -> Table:
    header = next(rows)
    if tuple(header[: len(needed)]) != tuple(needed):
        raise ValueError(f"its columns begin otherwise than with {', '.join(needed)}")
    if not all(header):
        raise ValueError("a column has no name")
    kinds = {name: dtype_of(name) for name in header}
    # How long a text is is known at the end.
    table = np.empty(0, dtype=[(n, "O" if kind == "U" else kind) for n, kind in kinds.items()])
    while part := list(islice(rows, _ROWS)):
        if any(len(row) != len(header) for row in part):
            raise ValueError("a row has more or fewer cells than its header")
        start = len(table)
        table.resize(start + len(part), refcheck=False)  # in place
        for name, cells in zip(header, zip(*part, strict=True), strict=True):
            table[name][start:] = _values_of(cells, table.dtype[name].kind)
    texts = {n: np.array(table[n], dtype=str).dtype for n, kind in kinds.items() if kind == "U"}
    if texts:
        table = table.astype([(n, texts.get(n, kind)) for n, kind in kinds.items()])
    return table.view(Table)


def _values_of(cells: Sequence[str], kind: str) -> Sequence[Any]:
    if kind == "O":
        return list(map(intern, cells))  # a name is in many rows
    empty = "" in cells
    if kind == "f":
        return [float(cell or "nan") for cell in cells] if empty else list(map(float, cells))
    return [int(cell or -1) for cell in cells] if empty else list(map(int, cells))
