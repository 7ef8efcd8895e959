""".npy and .npz files that anybody may have made: what their headers say is checked before it is done.

Nothing is unpickled. NumPy takes the memory that a header asks for before it reads; here a header
cannot ask for more than the file holds.
"""

from __future__ import annotations

import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lrpdyn.files.plain import open_plain
from lrpdyn.files.text import first_line
from lrpdyn.system.memory import usable_memory

_NPY = b"\x93NUMPY"
#: Headers are Python literals; what NumPy's parser of them raises on hostile ones.
_HEADER_ERRORS = (ValueError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, EOFError,
                  RecursionError, MemoryError, OverflowError, struct.error,
                  tokenize.TokenError)  # fmt: skip
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, ValueError, KeyError, IndexError,
               struct.error, NotImplementedError, OverflowError, RuntimeError)  # fmt: skip
#: What unpacks to more than both is taken for made to fill the memory; frames of a game, and masks,
#: do compress a hundredfold.
_LARGEST_RATIO, _ALWAYS_ALLOWED = 100, 1 << 28
_MOST_MEMBERS = 10_000


def load_npy(path: str | Path) -> NDArray[Any]:
    """Return the array of a .npy file.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is no .npy file, holds Python objects, or less than its header says.
    """
    with open_plain(path) as file:
        return read_npy(file, size_of(file))


def map_npy(path: str | Path) -> NDArray[Any]:
    """Return the array of a .npy file, read from the disk where it is used; raises as `load_npy`."""
    outline, offset = outline_of(path)
    if 0 in outline.shape:
        return np.empty(outline.shape, outline.dtype)
    order: Literal["F", "C"] = "F" if outline.fortran else "C"
    return np.memmap(path, outline.dtype, "r", offset, outline.shape, order=order)


def outline_of(path: str | Path) -> tuple[Outline, int]:
    """Return what the header of a .npy file says, and where its first entry is; raises as `load_npy`."""
    with open_plain(path) as file:
        return read_outline(file, size_of(file)), file.tell()


def load_npz(path: str | Path) -> dict[str, NDArray[Any]]:
    """Return all arrays of a .npz file by name.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is no .npz file, a member is no array, or it unpacks to far more than it holds.
    """
    with open_npz(path) as archive:
        return archive.arrays(archive.names)


@dataclass(frozen=True)
class Outline:
    """What the header of a .npy file says; the file holds as many bytes as it asks for."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Npz:
    """An open .npz file: the arrays by name, read when they are needed."""

    archive: zipfile.ZipFile
    size: int
    members: dict[str, zipfile.ZipInfo]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.members)

    def arrays(self, names: Collection[str]) -> dict[str, NDArray[Any]]:
        """Return the arrays of these names."""
        self._refuse_bombs(names)
        return {name: self._array(name) for name in names}

    @contextmanager
    def opened(self, name: str) -> Iterator[tuple[Outline, IO[bytes]]]:
        """Open an array that is read piece by piece, after what its header says.

        At the end of the file its checksum is compared: read on until nothing comes.
        """
        self._refuse_bombs([name])
        info = self.members[name]
        try:
            with self.archive.open(info) as member:
                yield read_outline(member, info.file_size), member
        except _ZIP_ERRORS as error:
            raise ValueError(f"array {name}: {first_line(error)}") from error

    def _array(self, name: str) -> NDArray[Any]:
        with self.opened(name) as (outline, member):
            array = _content(member, outline)
            member.read(1)
        return array

    def _refuse_bombs(self, names: Collection[str]) -> None:
        total = sum(self.members[name].file_size for name in names)
        if total > _ALWAYS_ALLOWED and total > _LARGEST_RATIO * self.size:
            raise ValueError(
                f"unpacks from {self.size:,} to {total:,} bytes: refused, made to fill the memory; give "
                "what it holds as .npy files if it is what it says"
            )


@contextmanager
def open_npz(path: str | Path) -> Iterator[Npz]:
    """Open a .npz file; raises as `load_npz`."""
    with open_plain(path) as file:
        size = size_of(file)
        try:
            archive = zipfile.ZipFile(file)
        except _ZIP_ERRORS as error:
            raise ValueError(f"is no .npz file, or one cut short: {first_line(error)}") from error
        infos = archive.infolist()
        members = {info.filename.removesuffix(".npy"): info for info in infos}
        if len(members) < len(infos) or len(infos) > _MOST_MEMBERS:
            raise ValueError("holds several arrays of one name, or far too many")
        with archive:
            yield Npz(archive=archive, size=size, members=members)


def is_npy(path: str | Path) -> bool:
    """Tell whether a file begins as a .npy file does, whatever its name."""
    with open_plain(path) as file:
        return bool(file.read(len(_NPY)) == _NPY)


def read_npy(file: IO[bytes], size: int) -> NDArray[Any]:
    """Return the array of an open .npy file of `size` bytes; raises ValueError as `load_npy`."""
    return _content(file, read_outline(file, size))


def _content(file: IO[bytes], outline: Outline) -> NDArray[Any]:
    wanted = outline.bytes
    if wanted > _ALWAYS_ALLOWED and wanted > (most := usable_memory()):
        raise ValueError(f"has {wanted:,} bytes, and this process may use {most:,} of memory")
    array: NDArray[Any] = np.empty(outline.shape, outline.dtype, "F" if outline.fortran else "C")
    into = array.reshape(-1, order="A").view(np.uint8).data if array.size else memoryview(b"")
    while len(into):
        count = file.readinto(into)  # type: ignore[attr-defined]
        if not count:
            raise ValueError("is cut short")
        into = into[count:]
    return array


def read_outline(file: IO[bytes], size: int) -> Outline:
    """Read the header of an open .npy file of `size` bytes, up to its first entry.

    Raises
    ------
    ValueError
        As `load_npy`.
    """
    try:
        with warnings.catch_warnings():
            # Of headers that Python 2 wrote, and of strange text in hostile ones.
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(file)
            read = {(1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0}.get(version)  # fmt: skip
            if read is None:
                raise ValueError(f"has version {version} of the format, expected 1.0 or 2.0")
            shape, fortran, dtype = read(file)
    except _HEADER_ERRORS as error:
        raise ValueError(
            f"is no .npy file, or its header is damaged: {first_line(error)}"
        ) from error
    if dtype.hasobject:
        raise ValueError("holds Python objects, which can run code, expected numbers")
    if dtype.itemsize == 0 or dtype.subdtype is not None or any(length < 0 for length in shape):
        raise ValueError(f"its header asks for {dtype} of shape {shape}, which cannot be")
    wanted, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if wanted > there:
        raise ValueError(
            f"its header says {dtype} of shape {shape}, {wanted:,} bytes, but it holds {max(there, 0):,}"
        )
    if len(shape) > 32 or any(length > 2**62 for length in shape):
        raise ValueError(f"its header asks for shape {shape}")
    return Outline(shape=shape, fortran=fortran, dtype=dtype)


def size_of(file: IO[bytes]) -> int:
    """Return the bytes of an open file, at whose beginning it then is."""
    size = file.seek(0, 2)
    file.seek(0)
    return size
