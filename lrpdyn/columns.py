"""Columns that grow: arrays by name with a row for each step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: What a row holds that nothing was put into, by the kind of its column.
_NOTHING: dict[str, Any] = {"f": np.nan, "i": -1, "b": False, "S": b""}


class Columns:
    """Arrays by name, which share their number of rows.

    Rows of Python's own numbers take ten times the bytes, and a small array for each row twice.

    Parameters
    ----------
    expected
        How many rows there will be, as far as is known.
    """

    def __init__(self, expected: int) -> None:
        self._rows = max(expected, 1)
        self._arrays: dict[str, NDArray[Any]] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column (rows, ...), those rows included that nothing was put into."""
        return self._arrays[name]

    def make(self, name: str, shape: tuple[int, ...], kind: DTypeLike) -> None:
        """Make a column of rows of `shape`, where there is none."""
        if name not in self._arrays:
            self._arrays[name] = _empty(self._rows, shape, np.dtype(kind))

    def put(self, name: str, row: int, values: Any, kind: DTypeLike = np.float64) -> None:
        """Put values into a row, and make the column where there is none; None becomes NaN."""
        if name not in self._arrays:
            self.make(name, np.shape(values), kind)
        self._arrays[name][row] = values

    def put_all(self, name: str, first: int, values: NDArray[Any]) -> None:
        """Put values (n, ...) into the rows from `first` on."""
        self.make(name, values.shape[1:], values.dtype)
        self._arrays[name][first : first + len(values)] = values

    def reserve(self, rows: int) -> None:
        """Have so many rows at least."""
        if rows <= self._rows:
            return
        self._rows = max(rows, 2 * self._rows)
        for name, array in self._arrays.items():
            more = _empty(self._rows - len(array), array.shape[1:], array.dtype)
            self._arrays[name] = np.concatenate([array, more])


def _empty(rows: int, shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    return np.full((rows, *shape), _NOTHING[kind.kind], kind)
