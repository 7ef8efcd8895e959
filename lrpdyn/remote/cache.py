"""Byte ranges of remote files, kept in a local folder of bounded size.

Each range is a file, ``KEY/START-END``, that appears whole or not at all: processes share
the folder without locks, and one that finds a range gone fetches it again.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lrpdyn.errors import RemoteError, UsageError

FOLDER, SIZE = "LRPDYN_CACHE", "LRPDYN_CACHE_SIZE"
#: Gives a range of a remote file: where what it got begins, and its bytes, which may be more.
Fetch = Callable[[int, int], tuple[int, bytes]]

_DEFAULT_SIZE = "10GB"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
#: So many bytes are fetched by one request, at most; they are in memory meanwhile.
_PIECE = 1 << 26


class RangeCache:
    """The ranges of remote files that were fetched.

    Parameters
    ----------
    folder
        Where they are kept.
    limit
        Bytes that may be kept: files whose last use is longest ago are removed first. What is being
        read stays, so one file may take more.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._unchecked = limit  # so that the first range that is kept makes it measure the folder

    def read(self, key: str, start: int, end: int, fetch: Fetch) -> bytes:
        """Return the bytes from `start` to `end` of the file `key`; what is missing is fetched."""
        return b"".join(self._pieces(key, start, end, fetch))

    def whole(self, key: str, size: int, fetch: Fetch) -> Path:
        """Return a local copy of the file `key`, of `size` bytes; what is missing is fetched."""
        copy = self._path(key, 0, size)
        self.used(key)
        if not copy.exists():
            self._write(copy, self._pieces(key, 0, size, fetch))
            for start, end in self._kept(key):
                if (start, end) != (0, size):
                    self._path(key, start, end).unlink(missing_ok=True)
        return copy

    def used(self, key: str) -> None:
        """Note that a file is being read: it is removed after those that are not."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.folder / key)

    def _pieces(self, key: str, start: int, end: int, fetch: Fetch) -> Iterator[bytes]:
        kept = self._kept(key)
        while start < end:
            range_kept = next((one for one in kept if one[0] <= start < one[1]), None)
            if range_kept is None:
                with self._locked(key):
                    kept, known = self._kept(key), kept
                    if kept != known:
                        continue  # another process has fetched some of it meanwhile
                    until = min([end, start + _PIECE, *(one[0] for one in kept if one[0] > start)])
                    begins, payload = fetch(start, until)
                    self._keep(key, begins, payload)
                piece = payload[start - begins : until - begins]
                kept = self._kept(key)
            else:
                until = min(end, range_kept[1])
                try:
                    with self._path(key, *range_kept).open("rb") as file:
                        file.seek(start - range_kept[0])
                        piece = file.read(until - start)
                except FileNotFoundError:
                    piece = b""
                if not piece:  # another process has removed it
                    kept.remove(range_kept)
                    continue
            yield piece
            start += len(piece)

    def _kept(self, key: str) -> list[tuple[int, int]]:
        """Return the ranges of a file that are here, the one that reaches farthest first."""
        try:
            with self._writing():
                names = os.listdir(self.folder / key)
        except FileNotFoundError:
            return []
        found = [re.fullmatch(r"(\d+)-(\d+)", name) for name in names]
        ranges = [(int(match[1]), int(match[2])) for match in found if match]
        return sorted(ranges, key=lambda one: -one[1])

    def _path(self, key: str, start: int, end: int) -> Path:
        return self.folder / key / f"{start}-{end}"

    def _keep(self, key: str, start: int, payload: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):  # another process removes the file
            self._write(self._path(key, start, start + len(payload)), [payload])
        self._unchecked += len(payload)
        if self._unchecked >= self.limit // 20:
            self._unchecked = 0
            self._remove_oldest(but=key)

    def _write(self, path: Path, pieces: Iterable[bytes]) -> None:
        """Make a file of pieces, whole or not at all."""
        with self._writing():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                for piece in pieces:
                    with self._writing():
                        file.write(piece)
            with self._writing():
                os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise RemoteError(
                f"{self.folder}: cannot be used: {error.strerror or error}; choose another folder "
                f"with {FOLDER}, or fewer bytes with {SIZE}"
            ) from error

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Let one process at a time fetch from a file: the others find what it fetched."""
        import fcntl  # not on Windows, where no remote path can be made

        lock = self.folder / key / ".lock"
        descriptor = None
        while descriptor is None:
            with self._writing(), contextlib.suppress(FileNotFoundError):  # removed in between
                lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with contextlib.suppress(OSError):  # some network file systems know no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _remove_oldest(self, *, but: str) -> None:
        """Remove what was used longest ago, until nine tenths of what may be kept are left."""
        entries = []
        for name in os.listdir(self.folder):
            folder = self.folder / name
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # gone, or a stranger
                entries.append((folder.stat().st_mtime_ns, name, _size(folder)))
        total = sum(size for *_, size in entries)
        if total <= self.limit:
            return
        for _, name, size in sorted(entries):
            if name != but and total > self.limit - self.limit // 10:
                shutil.rmtree(self.folder / name, ignore_errors=True)
                total -= size


def _size(folder: Path) -> int:
    """Return the bytes that a folder holds, without those that go while they are counted."""
    size = 0
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # another process has it under its name now
            size += (folder / name).stat().st_size
    return size


def default_cache() -> RangeCache:
    """Return the cache of this user: ``LRPDYN_CACHE``, of ``LRPDYN_CACHE_SIZE`` bytes.

    Raises
    ------
    UsageError
        The size is none.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get(FOLDER) or Path(base) / "lrpdyn")
    text = os.environ.get(SIZE) or _DEFAULT_SIZE
    match = re.fullmatch(r"(\d+)\s*([KMGT]?)B?", text.strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"{SIZE}={text}: expected bytes, such as 500MB or 10GB")
    return RangeCache(folder / "ranges", int(match[1]) * _UNITS[match[2].upper()])
