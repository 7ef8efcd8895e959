"""The tables of a run as structured arrays."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from lrpdyn.by_step import columns_by_step
from lrpdyn.errors import RunError

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
