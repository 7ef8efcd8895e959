"""Listings, facts and byte ranges from fsspec; its errors in one line."""

from __future__ import annotations

import errno
import os
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from lrpdyn.errors import RemoteError, UsageError
from lrpdyn.files.text import first_line

#: The package that each kind of store needs, where it is not called as fsspec says.
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub",
             "ssh": "paramiko", "sftp": "paramiko", "az": "adlfs", "abfs": "adlfs",
             "abfss": "adlfs", "http": "aiohttp", "https": "aiohttp"}  # fmt: skip
#: What stores call the version of a file, and the time of its last change.
_VERSIONS = ("ETag", "etag", "content_md5", "md5Hash", "generation", "blob_id", "checksum")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "timeModified", "created")

_lock = threading.Lock()
_opened: dict[tuple[int, str, str], Any] = {}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file or folder of a store.

    `modified` is in ns since 1970; stores know seconds, and the rest is made from the file's
    version (its ETag), so that it differs where the file does.
    """

    folder: bool
    size: int
    modified: int
    version: str


def listing(url: str) -> dict[str, Entry]:
    """Return the entries of a folder by name.

    Raises
    ------
    FileNotFoundError, PermissionError
        There is no such folder, or it may not be listed.
    RemoteError
        The store cannot be reached.
    """
    with _reaching(url):
        store = _store(url)
        store.invalidate_cache()
        found = store.ls(url, detail=True)
        names = {_relative(store, url, info["name"]): info for info in found}
        return {name: _entry(store, info) for name, info in names.items() if name}


def look_up(url: str) -> Entry | None:
    """Return the entry at an address now, or None."""
    try:
        with _reaching(url):
            store = _store(url)
            store.invalidate_cache()
            return _entry(store, store.info(url))
    except FileNotFoundError:
        return None


def matching(url: str, pattern: str) -> list[str]:
    """Return the names below `url` that match a glob, in order."""
    with _reaching(url):
        store = _store(url)
        store.invalidate_cache()
        return sorted(_relative(store, url, name) for name in store.glob(f"{url}/{pattern}"))


def fetch(url: str, start: int, end: int, size: int) -> tuple[int, bytes]:
    """Return bytes of a file of `size` bytes, and where they begin: all, if the store gives no ranges."""
    with _reaching(url):
        payload: bytes = _store(url).cat_file(url, start=start, end=end)
    if len(payload) == end - start:
        return start, payload
    if len(payload) == size:
        return 0, payload
    raise RemoteError(
        f"{url}: gave {len(payload):,} bytes, expected {end - start:,}: it changed while it was read; "
        "start again"
    )


def gives_ranges_at_once(url: str) -> bool:
    """Tell whether a store may be asked by several threads."""
    with _reaching(url):
        return bool(_store(url).async_impl)


def _store(url: str) -> Any:
    """Return fsspec's file system for an address; a forked process needs its own."""
    parts = urlsplit(url)
    key = (os.getpid(), parts.scheme, parts.netloc)
    with _lock:
        if key not in _opened:
            from fsspec.core import url_to_fs

            _opened[key] = url_to_fs(url)[0]
        return _opened[key]


def _relative(store: Any, url: str, name: str) -> str:
    base: str = store._strip_protocol(url).rstrip("/")
    inside: str = store._strip_protocol(name).rstrip("/")
    return inside.removeprefix(f"{base}/") if inside.startswith(f"{base}/") else ""


def _entry(store: Any, info: Mapping[str, Any]) -> Entry:
    if info.get("size") is None and info["type"] != "directory":
        info = store.info(info["name"])
    # Over HTTP everything is a file, and what lists a folder is a page.
    folder = info["type"] == "directory" or info.get("mimetype") == "text/html"
    version = next((str(info[key]).strip('"') for key in _VERSIONS if info.get(key)), "")
    changed = next((info[key] for key in _TIMES if info.get(key)), 0)
    seconds = int(_seconds(changed))
    version = version or str(seconds)
    modified = seconds * 10**9 + zlib.crc32(version.encode()) % 10**9
    size = int(info.get("size") or 0)
    return Entry(folder=folder, size=size, modified=modified, version=version)


def _seconds(changed: Any) -> float:
    if isinstance(changed, str):
        try:
            changed = datetime.fromisoformat(changed)
        except ValueError:
            return 0.0
    return float(changed.timestamp() if isinstance(changed, datetime) else changed)


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    """Turn what fsspec and the stores' own packages raise into one line, or into OSError."""
    scheme = urlsplit(url).scheme
    try:
        yield
    except FileNotFoundError as error:
        # Some give the name alone, others a sentence.
        said = str(error) if "bucket" in str(error).lower() and " " in str(error) else ""
        raise FileNotFoundError(errno.ENOENT, said or "no such file or folder", url) from error
    except PermissionError as error:
        raise PermissionError(errno.EACCES, f"no permission ({first_line(error)})", url) from error
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        how = f"pip install {package}" if package else first_line(error)
        if error.name == "fsspec":
            how = "pip install 'lrpdyn[remote]'"
        raise RemoteError(f"{url}: {scheme}:// needs a package that is not here: {how}") from error
    except ValueError as error:
        if "rotocol not known" not in str(error):
            raise
        raise UsageError(f"{url}: fsspec knows no {scheme}://; see its list of stores") from error
    except Exception as error:  # each store has errors of its own
        if "redential" in f"{type(error).__name__} {error}":
            raise PermissionError(errno.EACCES, first_line(error), url) from error
        raise RemoteError(
            f"{url}: cannot be reached: {first_line(error)}; what is finished is kept: the same command "
            "goes on"
        ) from error
