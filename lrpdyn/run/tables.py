"""Tables with a row for each step, or each transition: medians and extremes over samples.

A table with a row for each sample, too, is what there is unless it were too long to be of use.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.columns import ENDINGS, OverSamples, dtype_of, over_samples
from lrpdyn.errors import RunError, UsageError
from lrpdyn.files.atomic import BLOCK_ROWS, Block, blocks_of, save_table

#: What a table may have a row for: each sample of a step, or each step.
TABLES = ("samples", "steps")
#: Tables of more rows are written by step, unless it is said otherwise.
MOST_ROWS = 10_000_000
#: Characters that are read at once: their cells stay in a core's cache.
_CHARACTERS = 2**16
_RAGGED = "a row has more or fewer cells than its header"
#: What a table holds of one step or transition, by column: one value of what is the same for all samples,
#: else one for each, as Python's own; None or NaN where there is none.
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
        save_table(path, columns_by_step(columns), blocks_of(rows_by_step(steps, columns)))
    else:
        save_table(path, columns, blocks_by_sample(steps, columns))


def blocks_by_sample(steps: Iterable[Values], columns: Sequence[str]) -> Iterator[Block]:
    """Yield rows in blocks of some steps or transitions: a row for each sample of each."""
    over = {column: over_samples(column) for column in columns}
    block: list[list[Any]] = [[] for _ in columns]
    for values in steps:
        samples = next(
            len(values[name]) for name in columns if over[name] not in ("same", "number")
        )
        for name, column in zip(columns, block, strict=True):
            column.extend(
                range(samples)
                if over[name] == "number"
                else repeat(values[name], samples)
                if over[name] == "same"
                else values[name]
            )
        if len(block[0]) >= BLOCK_ROWS:
            yield block
            block = [[] for _ in columns]
    if block[0]:
        yield block


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
            return _table_of(text, needed)
    except (IndexError, OverflowError, StopIteration, TypeError, csv.Error) as error:
        raise ValueError(str(error) or "it is empty") from error


def _table_of(text: IO[str], needed: Sequence[str]) -> Table:
    header = next(csv.reader(text))
    if tuple(header[: len(needed)]) != tuple(needed):
        raise ValueError(f"its columns begin otherwise than with {', '.join(needed)}")
    if not all(header):
        raise ValueError("a column has no name")
    kinds = {name: dtype_of(name) for name in header}
    kinds |= {name: "U1" for name, kind in kinds.items() if kind == "U"}
    table = np.empty(0, dtype=list(kinds.items()))
    for block in _blocks(text, len(header)):
        for name, cells in zip(header, block, strict=True):
            if kinds[name].startswith("U"):  # how long a text is is known at the end
                kinds[name] = f"U{max(int(kinds[name][1:]), *map(len, cells))}"
        table = table.astype(list(kinds.items()), copy=False)
        start = len(table)
        table.resize(start + len(block[0]), refcheck=False)  # in place
        for name, cells in zip(header, block, strict=True):
            table[name][start:] = _values_of(cells, table.dtype[name])
    return table.view(Table)


def _blocks(text: IO[str], width: int) -> Iterator[Block]:
    """Yield the cells of some rows at a time; where some are in quotes, all that follow as `csv` does."""
    while part := text.read(_CHARACTERS) + text.readline():
        if '"' in part or "\r" in part:
            rows = csv.reader(chain(io.StringIO(part, newline=""), text))
            while several := list(islice(rows, BLOCK_ROWS)):
                if any(len(row) != width for row in several):
                    raise ValueError(_RAGGED)
                yield list(zip(*several, strict=True))
            return
        lines = part.removesuffix("\n").split("\n")
        if any(line.count(",") != width - 1 for line in lines):
            raise ValueError(_RAGGED)
        cells = ",".join(lines).split(",")
        yield [cells[place::width] for place in range(width)]


def _values_of(cells: Sequence[str], kind: np.dtype[Any]) -> Sequence[Any] | NDArray[Any]:
    if kind.kind == "U":
        return cells
    of, unknown = (float, "nan") if kind.kind == "f" else (int, "-1")
    if "" in cells:
        cells = [cell or unknown for cell in cells]
    return np.fromiter(map(of, cells), dtype=kind, count=len(cells))
