"""Arrays of many samples in files, of which a few samples at a time are in memory.

Files are read and written at an offset, not mapped: pages of a mapped file count as memory of the
process for as long as they stay (the sums of three steps of 4,096 observations peak at 44 MiB; with maps
in `numpy.memmap` at 1.4 GiB, with the sums in it too at 7.4 GiB), and a mapped file that is cut short, or
does not fit its disk, ends the process with no message.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.files.npy import map_npy

#: Shelves of more bytes than this are files.
LARGEST_IN_MEMORY = 1 << 25
_PIECE = 1 << 20

Shape = tuple[int, ...]


def pieces(shape: Shape) -> list[slice]:
    """Return the samples of an array in pieces of up to a megabyte of float64, at least one each.

    What fits a core's cache is worked on several times as fast. Pieces depend on the shape alone.
    """
    entries = int(np.prod(shape[1:], dtype=np.int64))
    size = max(1, _PIECE // (8 * max(entries, 1)))
    return [slice(start, min(start + size, shape[0])) for start in range(0, shape[0], size)]


class Stored:
    """The array of a .npy file: a slice of samples is read when it is asked for.

    Raises
    ------
    ValueError
        The file holds no plain array, or less than its header says.
    """

    def __init__(self, path: Path) -> None:
        mapped = map_npy(path)
        if not isinstance(mapped, np.memmap) or not mapped.flags.c_contiguous:
            raise ValueError("no plain array in C order")
        self.path, self.shape, self.dtype = path, mapped.shape, mapped.dtype
        self._offset = int(mapped.offset)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, chosen: slice) -> NDArray[Any]:
        start, stop, _ = chosen.indices(len(self))
        row = int(np.prod(self.shape[1:], dtype=np.int64))
        found = np.fromfile(
            self.path,
            self.dtype,
            (stop - start) * row,
            offset=self._offset + start * row * self.dtype.itemsize,
        )
        return found.reshape(stop - start, *self.shape[1:])


#: The maps (N, ...) of a step, in memory or in a file.
Maps = NDArray[np.float32] | Stored
