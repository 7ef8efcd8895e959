"""Arrays of very many samples, of which only those in use are in memory."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lrpdyn.errors import ObservationError, RunError
from lrpdyn.files.npy import outline_of

#: Bytes of an array that stays in memory; a larger one is kept in a file.
LARGEST_IN_MEMORY = 16 * 2**20
#: Entries that are worked on at once: 2 MiB in float64.
_ENTRIES = 2**18
#: The same where they are worked on several times as fast while they fit a core's cache.
IN_CACHE = 2**17


class Streamed:
    """An array (N, ...) whose samples are read when they are needed, and not kept.

    Parameters
    ----------
    shape, dtype
        Of the whole array.
    read
        Returns the samples from ``start`` to before ``stop``, in memory.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: DTypeLike,
        read: Callable[[int, int], NDArray[Any]],
    ) -> None:
        self.shape, self.dtype, self._read = shape, np.dtype(dtype), read

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice | Sequence[int]) -> NDArray[Any]:
        """Return some samples: those of a slice, or those of these numbers."""
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return self._read(start, max(start, stop))
            key = range(start, stop, step)
        found = np.empty((len(key), *self.shape[1:]), dtype=self.dtype)
        for row, (start, stop) in _runs(key):
            found[row : row + stop - start] = self._read(start, stop)
        return found

    def changed(
        self, shape: tuple[int, ...], change: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> Streamed:
        """Return the array whose pieces are changed by `change`; `shape` is that of one sample."""
        whole = (self.shape[0], *shape)
        return Streamed(whole, self.dtype, lambda start, stop: change(self._read(start, stop)))

    def chosen(self, samples: Sequence[int]) -> Streamed:
        """Return the array of some samples."""
        shape = (len(samples), *self.shape[1:])
        return Streamed(shape, self.dtype, lambda start, stop: self[samples[start:stop]])


#: Samples (N, ...), in memory or read when they are needed: `values[slice or list]` is an array.
Samples = NDArray[np.float32] | Streamed


def _runs(samples: Sequence[int]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield rows and the stretches of successive samples that belong there."""
    row = 0
    while row < len(samples):
        end = row + 1
        while end < len(samples) and samples[end] == samples[end - 1] + 1:
            end += 1
        yield row, (samples[row], samples[row] + end - row)
        row = end


def in_memory(array: NDArray[Any]) -> Streamed:
    """Return an array that is in memory as one that is read piece by piece."""
    return Streamed(array.shape, array.dtype, lambda start, stop: array[start:stop])


def as_sample(array: Streamed) -> Streamed:
    """Return a whole array as the only sample of one."""
    shape = (1, *array.shape)
    return Streamed(shape, array.dtype, lambda start, stop: array[:][None][start:stop])


def joined(parts: Sequence[Streamed]) -> Streamed:
    """Return parts of one dtype, whose samples have one shape, one after the other."""
    ends = list(accumulate(len(part) for part in parts))

    def read(start: int, stop: int) -> NDArray[Any]:
        found = [
            part[max(start - end + len(part), 0) : stop - end + len(part)]
            for part, end in zip(parts, ends, strict=True)
            if start < end and stop > end - len(part)
        ]
        return found[0] if len(found) == 1 else np.concatenate(found)

    return parts[0] if len(parts) == 1 else Streamed(
        (ends[-1], *parts[0].shape[1:]), parts[0].dtype, read
    )  # fmt: skip


def in_file(file: BinaryIO, offset: int, shape: tuple[int, ...], dtype: DTypeLike) -> Streamed:
    """Return an array that lies in an open file, its last axis fastest, from `offset` bytes on.

    The file is the array's from here on, and closed when the array is gone.

    Raises
    ------
    ObservationError
        On reading: the file cannot be read, or ended early.
    """
    kind = np.dtype(dtype)
    size = prod(shape[1:]) * kind.itemsize

    def read(start: int, stop: int) -> NDArray[Any]:
        found = np.empty((stop - start, *shape[1:]), dtype=kind)
        buffer, done = found.reshape(-1).view(np.uint8).data, 0
        while done < len(buffer):
            # At an offset: processes that were forked share the file's own position.
            place = offset + start * size + done
            try:
                part = os.pread(file.fileno(), len(buffer) - done, place)
            except OSError as error:
                raise ObservationError(f"{file.name}: cannot be read: {error.strerror}") from error
            if not part:
                raise ObservationError(f"{file.name}: became shorter while it was read")
            buffer[done : done + len(part)] = part
            done += len(part)
        return found

    array = Streamed(shape, kind, read)
    weakref.finalize(array, file.close)
    return array


def opened(path: Path) -> Streamed:
    """Return the array of a .npy file.

    It is read at an offset, not mapped: pages of a mapped file count as memory of the process for as
    long as they stay (the sums of three steps of 4,096 observations peak at 44 MiB; with maps in
    `numpy.memmap` at 1.4 GiB, with the sums in it too at 7.4 GiB), and a mapped file that is cut short,
    or does not fit its disk, ends the process with no message.

    Raises
    ------
    ValueError
        The file holds no plain array, or less than its header says.
    RunError
        On reading: the file became shorter.
    """
    outline, begin = outline_of(path)
    shape, kind = outline.shape, outline.dtype
    if 0 in shape or not shape or (outline.fortran and len(shape) > 1):
        raise ValueError("no plain array in C order")
    row = prod(shape[1:])

    def read(start: int, stop: int) -> NDArray[Any]:
        offset = begin + start * row * kind.itemsize
        found = np.fromfile(path, kind, (stop - start) * row, offset=offset)
        if found.size < (stop - start) * row:
            raise RunError(f"{path}: became shorter while it was read; the same command mends it")
        return found.reshape(stop - start, *shape[1:])

    return Streamed(shape, kind, read)


def slices(shape: tuple[int, ...], entries: int | None = None) -> Iterator[slice]:
    """Yield which samples of an array of `shape` (N, ...) are worked on at once.

    As many as have up to so many entries, at least one: that depends on the shape alone.
    """
    count = max(1, (entries or _ENTRIES) // max(1, prod(shape[1:])))
    for start in range(0, shape[0], count):
        yield slice(start, min(start + count, shape[0]))


def pieces(values: Samples) -> Iterator[NDArray[Any]]:
    """Yield an array a few samples at a time."""
    for chosen in slices(values.shape):
        yield values[chosen]


def kept(
    shape: tuple[int, ...], dtype: DTypeLike, parts: Iterable[NDArray[Any]], folder: Path | None
) -> NDArray[Any] | Streamed:
    """Return an array made of parts, one after the other: in memory, or in a file without a name.

    Parameters
    ----------
    shape, dtype
        Of the whole.
    parts
        Of some samples each, in order; they may be of another dtype.
    folder
        Where the file of a large one lies, until the array is gone; None for the system's folder of
        temporary files.

    Raises
    ------
    ObservationError
        The file cannot be written.
    """
    kind = np.dtype(dtype)
    if prod(shape) * kind.itemsize <= LARGEST_IN_MEMORY:
        found, start = np.empty(shape, dtype=kind), 0
        for part in parts:
            found[start : start + len(part)] = part
            start += len(part)
        return found
    try:
        with ExitStack() as stack:
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            for part in parts:
                file.write(np.ascontiguousarray(part, dtype=kind).data)
            file.flush()
            stack.pop_all()
            return in_file(file, 0, shape, kind)
    except OSError as error:
        where = tempfile.gettempdir() if folder is None else folder
        raise ObservationError(
            f"observations of shape {shape}: {prod(shape) * kind.itemsize / 2**20:,.0f} MiB cannot be "
            f"kept in {where}: {error.strerror or error}"
        ) from error
