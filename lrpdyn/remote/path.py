"""A path in a store of remote files, as the readers of checkpoints and observations take paths."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path, PosixPath
from typing import Any, TypeVar

from lrpdyn.errors import UsageError
from lrpdyn.files.ranged import Positioned
from lrpdyn.remote import store
from lrpdyn.remote.cache import RangeCache, default_cache

_Result = TypeVar("_Result")

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)", re.IGNORECASE | re.DOTALL)
_SECRETS = re.compile(r"[?&][^=]*(sig|token|key|secret|password|credential)[^=]*=", re.IGNORECASE)
#: Small reads fetch so many bytes at least; each that follows on the one before, twice as many.
_BLOCK, _LARGEST_BLOCK = 1 << 15, 1 << 22
#: Headers that are read at a time.
_AT_ONCE = 16

#: What is known from listings, so that no file is looked up twice.
_known: dict[str, store.Entry] = {}
_listed: dict[str, frozenset[str]] = {}


class RemotePath(PosixPath):
    """A file or folder in a store.

    It prints as its address. Opened, it is read by byte ranges; where a local path is needed
    (`os.fspath`), it is its local copy, fetched whole. Each byte is fetched once, as long as the
    cache (`lrpdyn.remote.cache`) holds it.
    """

    def __str__(self) -> str:
        return super().__str__().replace(":/", "://", 1)

    def __fspath__(self) -> str:
        entry = self._entry()
        if entry is None or entry.folder:
            return str(self)
        return str(_cache().whole(self._key(entry), entry.size, self._fetcher(entry)))

    def open(self, mode: str = "r", buffering: int = -1, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        """Open the file for reading bytes, by ranges; nothing else can be done with it."""
        if mode != "rb":
            raise io.UnsupportedOperation(f"{self}: can only be read")
        entry = self._entry()
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(self))
        _cache().used(self._key(entry))
        file = _RangedFile(self._key(entry), entry.size, self._fetcher(entry))
        return file if buffering == 0 else io.BufferedReader(file)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        entry = self._entry()
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, "no such file or folder", str(self))
        mode = stat.S_IFDIR if entry.folder else stat.S_IFREG
        seconds = entry.modified / 10**9
        inode = int(self._key(entry)[:15], 16)
        times = {f"st_{kind}time_ns": entry.modified for kind in "amc"}
        values = (mode, inode, 0, 1, 0, 0, entry.size, *[int(seconds)] * 3, *[seconds] * 3)
        return os.stat_result(values, times)

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        return self._entry() is not None

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        entry = self._entry()
        return entry is not None and entry.folder

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        entry = self._entry()
        return entry is not None and not entry.folder

    def is_symlink(self) -> bool:
        return False

    def resolve(self, strict: bool = False) -> RemotePath:
        return self

    def iterdir(self) -> Iterator[RemotePath]:  # type: ignore[override]
        found = store.listing(str(self))
        inside = {str(self / name): entry for name, entry in found.items()}
        for gone in _listed.get(str(self), frozenset()) - inside.keys():
            _known.pop(gone, None)
        _listed[str(self)] = frozenset(inside)
        _known.update(inside)
        return iter([self / name for name in found])

    def glob(self, pattern: str, **_: Any) -> Iterator[RemotePath]:  # type: ignore[override]
        return iter([self / name for name in store.matching(str(self), pattern)])

    def rglob(self, pattern: str, **_: Any) -> Iterator[RemotePath]:  # type: ignore[override]
        return self.glob(f"**/{pattern}")

    def _entry(self) -> store.Entry | None:
        url = str(self)
        if url not in _known and not self._is_missing():
            found = store.look_up(url)
            if found is not None:
                _known[url] = found
        return _known.get(url)

    def _is_missing(self) -> bool:
        """Tell whether a listing says that there is no such file, without asking."""
        for folder in self.parents:
            if str(folder) in _listed:
                inside = str(folder / self.relative_to(folder).parts[0])
                return inside not in _listed[str(folder)]
        return False

    def _key(self, entry: store.Entry) -> str:
        return hashlib.sha256(f"{self} {entry.size} {entry.version}".encode()).hexdigest()[:40]

    def _fetcher(self, known: store.Entry) -> Callable[[int, int], tuple[int, bytes]]:
        """Return what fetches ranges of the file as it is `known`; one that was replaced is refused."""
        checked = False

        def fetch(start: int, end: int) -> tuple[int, bytes]:
            nonlocal checked
            now = known if checked else store.look_up(str(self))
            if now is None or (now.size, now.version) != (known.size, known.version):
                raise OSError(
                    errno.ESTALE, "it changed since it was listed; start again", str(self)
                )
            checked = True
            return store.fetch(str(self), start, end, known.size)

        return fetch


class _RangedFile(Positioned):
    """A remote file that is read by ranges; a large range is fetched as it is requested."""

    def __init__(self, key: str, size: int, fetch: Callable[[int, int], tuple[int, bytes]]) -> None:
        super().__init__(size)
        self._key, self._fetch, self._start = key, fetch, 0
        self._block, self._ahead = b"", _BLOCK

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._size - self._at))
        end = self._at + wanted
        if wanted >= _BLOCK:
            buffer[:wanted] = _cache().read(self._key, self._at, end, self._fetch)
        elif wanted:
            if not self._start <= self._at <= end <= self._start + len(self._block):
                self._fetch_block(end)
            at = self._at - self._start
            buffer[:wanted] = self._block[at : at + wanted]
        self._at = end
        return wanted

    def _fetch_block(self, end: int) -> None:
        """Fetch the block that is being read, and more of what is read from start to end."""
        start = self._at - self._at % _BLOCK
        follows = start == self._start + len(self._block) > 0
        self._ahead = min(2 * self._ahead, _LARGEST_BLOCK) if follows else _BLOCK
        until = min(self._size, max(start + self._ahead, end))
        self._block = _cache().read(self._key, start, until, self._fetch)
        self._start = start


def as_path(where: str | Path) -> Path:
    """Return a path: a local one, or of a store where `where` is an address such as ``s3://...``.

    Raises
    ------
    UsageError
        The address holds a password or a key, which would be kept in the run, or is a chain.
    """
    address = None if isinstance(where, Path) else _ADDRESS.fullmatch(where)
    if address is None:
        return Path(where) if isinstance(where, str) else where
    scheme, rest = address[1].lower(), address[2]
    if re.match(r"[^/@]*:[^/@]*@", rest) or _SECRETS.search(rest):
        raise UsageError(
            f"{scheme}://...: the address holds a password or a key, which would be kept in the run; "
            "leave it out, and give it as the store's own package takes it (docs/remote.md)"
        )
    if "::" in rest:
        raise UsageError(f"{where}: chained addresses are not read; unpack or copy it first")
    return Path(f"/{rest.lstrip('/')}") if scheme == "file" else RemotePath(f"{scheme}://{rest}")


def matching(where: str) -> list[Path]:
    """Return the files that match an address with ``*``, ``?`` or ``[...]`` in it.

    Raises
    ------
    OSError
        The folder above is not there, or may not be listed.
    """
    scheme, _, rest = where.partition("://")
    parts = rest.split("/")
    plain = next((n for n, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts))
    folder = as_path(f"{scheme}://{'/'.join(parts[:plain])}")
    found = folder.glob("/".join(parts[plain:])) if plain < len(parts) else folder.iterdir()
    return sorted(found)


def each(function: Callable[[Path], _Result], paths: Sequence[Path]) -> Iterator[_Result]:
    """Yield what `function` returns for each path, in order; for remote ones several at a time."""
    first = next(iter(paths), None)
    if not isinstance(first, RemotePath) or not store.gives_ranges_at_once(str(first)):
        yield from map(function, paths)
        return
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        yield from pool.map(function, paths)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@cache
def _cache() -> RangeCache:
    return default_cache()
