"""Sums of many samples, in memory or in a file without a name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

#: Shelves of more bytes than this are files.
LARGEST_IN_MEMORY = 1 << 25


class Shelf:
    """Arrays by name, each with a row for every sample, zero at first; taken down piece by piece.

    Parameters
    ----------
    samples
        The number of rows.
    folder
        Where the arrays are kept once they are many: in files without a name, which are gone with
        the process. None keeps all in memory.
    """

    def __init__(self, samples: int, folder: Path | None) -> None:
        self._samples, self._folder = samples, folder
        self._rows: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
        self._bytes: dict[str, int] = {}
        self._arrays: dict[str, NDArray[Any]] = {}
        self._files: dict[str, IO[bytes]] = {}

    def add(self, name: str, shape: tuple[int, ...], kind: Any) -> None:
        """Make room for an array of rows of `shape`."""
        self._rows[name] = shape, np.dtype(kind)
        self._bytes[name] = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
        in_memory = sum(array.nbytes for array in self._arrays.values())
        size = self._samples * self._bytes[name]
        if self._folder is None or in_memory + size <= LARGEST_IN_MEMORY:
            self._arrays[name] = np.zeros((self._samples, *shape), kind)
            return
        file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
        file.truncate(size)
        self._files[name] = file

    def close(self) -> None:
        """Give the files up."""
        for file in self._files.values():
            file.close()

    @contextmanager
    def taken(self, piece: slice, names: Sequence[str]) -> Iterator[dict[str, NDArray[Any]]]:
        """Give some arrays of a piece to change, and put them back; other pieces may be out too."""
        arrays = self.read(piece, names)
        yield arrays
        for name in names:
            if name in self._files:
                self._write(piece, name, arrays[name])

    def read(self, piece: slice, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return some arrays of a piece."""
        return {
            name: self._read(piece, name) if name in self._files else self._arrays[name][piece]
            for name in names
        }

    def write(self, piece: slice, name: str, values: NDArray[Any] | float) -> None:
        """Put values into a piece of an array."""
        if name not in self._files:
            self._arrays[name][piece] = values
            return
        shape, kind = self._rows[name]
        whole = np.broadcast_to(values, (piece.stop - piece.start, *shape))
        self._write(piece, name, np.ascontiguousarray(whole, kind))

    def _write(self, piece: slice, name: str, values: NDArray[Any]) -> None:
        data = values.data.cast("B")
        at = piece.start * self._bytes[name]
        while data:
            written = os.pwrite(self._files[name].fileno(), data, at)
            data, at = data[written:], at + written

    def _read(self, piece: slice, name: str) -> NDArray[Any]:
        shape, kind = self._rows[name]
        found = np.empty((piece.stop - piece.start, *shape), kind)
        data = found.data.cast("B")
        at = piece.start * self._bytes[name]
        while data:
            got = os.preadv(self._files[name].fileno(), [data], at)
            if got == 0:
                raise OSError("a temporary file is shorter than it was")
            data, at = data[got:], at + got
        return found
