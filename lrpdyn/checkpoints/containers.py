"""Parts of files, and zip archives whose makers are not trusted: read in place, never unpacked."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lrpdyn.checkpoints.digests import Hash
from lrpdyn.errors import CheckpointError
from lrpdyn.files.plain import check_plain, open_plain
from lrpdyn.files.ranged import Positioned
from lrpdyn.files.text import first_line, printable
from lrpdyn.system.memory import usable_memory

ZIP = b"PK\x03\x04"
COPY_AGAIN = "copy it again, or go on without it (--skip-bad)"

_LARGEST_JSON = 1 << 25
#: Bytes that are read at once where only a digest of a file is needed.
_PIECE = 1 << 18
#: Files up to this size are read in one go; of larger ones, only what is needed is read.
_AT_ONCE = 1 << 26
#: Tensors may share their bytes (tied weights), but not make much of nothing.
_MOST_SHARED = 8
#: Weights hardly compress; a member that unpacks to more than this is made to fill the memory.
_LARGEST_RATIO = 100
_ALWAYS_ALLOWED = 1 << 20
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
#: Stands in a header for a size that its extra field has.
_IN_EXTRA = 0xFFFFFFFF
#: What Python's zipfile raises on hostile directories, other than BadZipFile.
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, IndexError,
               struct.error, NotImplementedError, OverflowError, RuntimeError)  # fmt: skip


class _Range(Positioned):
    """The bytes from `start` on, `size` many, of an open file."""

    def __init__(self, file: io.IOBase, start: int, size: int) -> None:
        super().__init__(size)
        self._file: Any = file
        self._start = start

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._size - self._at))
        self._file.seek(self._start + self._at)
        found: int = self._file.readinto(memoryview(buffer)[:wanted]) or 0
        self._at += found
        return found


class _Memory(Positioned):
    """Bytes in memory as a file; nothing is copied to make it one."""

    def __init__(self, content: memoryview) -> None:
        super().__init__(len(content))
        self._content = content

    def readinto(self, buffer: Any) -> int:
        found = self._content[self._at : self._at + len(buffer)]
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


class Part(io.BufferedReader):
    """A range of a file, as a file itself.

    `read` never asks for more than is there: a length that a hostile file states must not decide
    how much memory is taken.
    """

    def __init__(self, file: io.IOBase, start: int, size: int) -> None:
        super().__init__(_Range(file, start, size))
        self.size = size

    def bytes_at(self, place: slice) -> memoryview:
        """Return the bytes at a place, read in one go into memory that nothing else uses."""
        content = np.empty(place.stop - place.start, np.uint8).data
        self.seek(place.start)
        if self.readinto(content) != len(content):
            raise OSError("it ended while it was read")
        return content

    def payload(self) -> Payload:
        """Return all bytes, in memory."""
        return Payload(content=self.bytes_at(slice(0, self.size)))

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0 or size > io.DEFAULT_BUFFER_SIZE:
            left = max(0, self.size - self.tell())
            size = left if size is None or size < 0 else min(size, left)
        return super().read(size)


@dataclass(frozen=True, kw_only=True)
class Payload:
    """All bytes of a file: `content`, in memory, or those of a large open `file`, read where they are used.

    Nothing is mapped: a mapped file that somebody cuts short ends the process without a word.
    """

    content: memoryview | None = None
    file: Part | None = None
    _read: dict[tuple[int, int], memoryview] = field(default_factory=dict)

    def part(self) -> Part:
        """Return the bytes as a file."""
        if self.content is not None:
            return Part(_Memory(self.content), 0, len(self.content))
        assert self.file is not None
        return self.file

    def bytes_at(self, place: slice) -> memoryview:
        """Return the bytes at a place; those of a file are read once, and kept."""
        if self.content is not None:
            return self.content[place]
        key = place.start, place.stop
        if key not in self._read:
            self._read[key] = self.part().bytes_at(place)
        return self._read[key]

    def digest(self, algorithm: str) -> str:
        """Return the digest of the bytes."""
        found = Hash(algorithm)
        if self.content is not None:
            found.update(self.content)
        else:
            whole = self.part()
            whole.seek(0)
            _feed(found, whole)
        return found.digest()


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A zip archive: its members by name, and the file that they are in."""

    where: str
    file: Part
    members: dict[str, zipfile.ZipInfo]

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def read(self, name: str, limit: int) -> bytes:
        """Return a member of at most `limit` bytes.

        Raises
        ------
        CheckpointError
            It is not there, is damaged, or unpacks to more than it may.
        """
        part = self.part(name)
        if part.size > limit:
            raise CheckpointError(
                f"{self.where}: member {name} has {part.size:,} bytes, expected at most {limit:,}; "
                "this is no checkpoint of a known format"
            )
        return part.read()

    def part(self, name: str) -> Part:
        """Return a member as a file; one that is stored is read in place."""
        info = self.members.get(name)
        if info is None:
            raise CheckpointError(f"{self.where}: has no member {name}")
        try:
            if info.compress_type == zipfile.ZIP_STORED:
                return Part(self.file, self._start(info), info.file_size)
            if info.file_size > _LARGEST_RATIO * info.compress_size + _ALWAYS_ALLOWED:
                raise CheckpointError(
                    f"{self.where}: member {name} unpacks from {info.compress_size:,} to "
                    f"{info.file_size:,} bytes: refused, made to fill the memory"
                )
            if info.file_size > _ALWAYS_ALLOWED and info.file_size > (most := usable_memory()):
                raise CheckpointError(
                    f"{self.where}: member {name} unpacks to {info.file_size:,} bytes, and this process "
                    f"may use {most:,} of memory"
                )
            self._start(info)
            with zipfile.ZipFile(self.file) as archive, archive.open(info) as member:
                payload = _at_most(member, info.file_size)
        except _ZIP_ERRORS as error:
            raise self._damaged(name, error) from error
        return Part(io.BytesIO(payload), 0, len(payload))

    def place(self, name: str) -> slice:
        """Return where in the file a member is that is stored as it is."""
        info = self.members[name]
        try:
            start = self._start(info)
        except _ZIP_ERRORS as error:
            raise self._damaged(name, error) from error
        return slice(start, start + info.file_size)

    def _start(self, info: zipfile.ZipInfo) -> int:
        self.file.seek(info.header_offset)
        header = self.file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(ZIP):
            raise zipfile.BadZipFile("no member where the directory says")
        _, _, flags, method, _, _, *sizes, name_size, extra_size = _LOCAL_HEADER.unpack(header)
        start: int = info.header_offset + _LOCAL_HEADER.size + name_size + extra_size
        if (info.flag_bits | flags) & 1:
            raise zipfile.BadZipFile("it is encrypted")
        name = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")
        later = [0] if flags & 8 else []  # sizes may follow the content
        long = struct.pack("<2H2Q", 1, 16, info.file_size, info.compress_size)
        if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
            raise zipfile.BadZipFile("it is stored and has two sizes")
        if method != info.compress_type or self.file.read(name_size) != name:
            raise zipfile.BadZipFile("its own header has another name or method than the directory")
        stated = (info.CRC, info.compress_size, info.file_size)
        if later or long in self.file.read(extra_size):
            later.append(_IN_EXTRA)
        if any(here not in (there, *later) for here, there in zip(sizes, stated, strict=True)):
            raise zipfile.BadZipFile("its own header has other sizes than the directory")
        if start + info.compress_size > self.file.size:
            raise zipfile.BadZipFile("it reaches beyond the end of the file")
        return start

    def _damaged(self, name: str, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"{self.where}: member {name} cannot be read ({first_line(error)}); copy the file again, "
            "or go on without it (--skip-bad)"
        )


def open_archive(file: Part, where: str) -> Archive:
    """Read the directory of a zip archive.

    Raises
    ------
    CheckpointError
        It has no directory, or one that contradicts itself.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except _ZIP_ERRORS as error:
        raise damaged(
            f"{where}: is a zip without its end, cut short or still being written"
        ) from error
    members = {info.filename: info for info in infos}
    if len(members) < len(infos):
        # Readers disagree on which of two they take: what was checked may not be what is loaded.
        raise CheckpointError(
            f"{where}: is a zip that holds several members of one name; refused, save it again"
        )
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise CheckpointError(
                f"{where}: is a zip whose members overlap ({printable(info.filename)[:80]}); refused, "
                "save it again"
            )
        end = info.header_offset + _LOCAL_HEADER.size + len(info.filename) + info.compress_size
    return Archive(where=where, file=file, members=members)


@contextmanager
def open_file(path: Path) -> Iterator[Part]:
    """Open a file for reading.

    Raises
    ------
    CheckpointError
        It cannot be opened or read.
    """
    try:
        check_plain(path)
        with path.open("rb", buffering=0) as file:
            yield Part(file, 0, file.seek(0, io.SEEK_END))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error


@contextmanager
def open_payload(path: Path) -> Iterator[Payload]:
    """Give the bytes of a file; a large one is open within, and what is used of it is read.

    Raises
    ------
    CheckpointError
        It cannot be opened or read, or ends before what is read.
    """
    with open_file(path) as file:
        if file.size <= _AT_ONCE:
            yield file.payload()
            return
    with open_file(Path(on_disk(path))) as file:
        yield Payload(file=file)


def on_disk(path: Path) -> str:
    """Return where a file is for those who take no other: a remote one is copied first.

    Raises
    ------
    CheckpointError
        It cannot be copied.
    """
    try:
        return os.fspath(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error


def digest_of(algorithm: str, *paths: Path) -> str:
    """Return the digest of the bytes of files, one after the other, read piece by piece."""
    digest = Hash(algorithm)
    for path in paths:
        try:
            with open_plain(on_disk(path)) as file:
                _feed(digest, file)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    return digest.digest()


def _feed(digest: Hash, file: Any) -> None:
    piece = memoryview(bytearray(_PIECE))
    while found := file.readinto(piece):
        digest.update(piece[:found])


def read_json(path: Path) -> Any:
    """Return the content of a JSON file of at most 32 MiB.

    Raises
    ------
    CheckpointError
        It cannot be read, or is no JSON.
    """
    with open_file(path) as file:
        text = file.read(_LARGEST_JSON)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(f"{path}: is no JSON, cut short or damaged") from error


def damaged(what: str) -> CheckpointError:
    """Return the error that says `what` is wrong with a file, and what to do."""
    return CheckpointError(f"{what}; {COPY_AGAIN}")


def check_shared(size: int, stored: int, where: str) -> None:
    """Raise CheckpointError where weights of `size` bytes make much of the few that are `stored`."""
    if size > _MOST_SHARED * stored + 1024:
        raise CheckpointError(
            f"{where}: its weights take {size:,} bytes and share {stored:,}; refused, made to fill the "
            "memory"
        )


def _at_most(member: Any, size: int) -> bytes:
    """Read `size` bytes; a member that unpacks to another number is damaged."""
    read: Callable[[int], bytes] = member.read
    payload = read(size + 1)
    if len(payload) != size:
        raise zipfile.BadZipFile("it does not have the size that the directory says")
    return payload
