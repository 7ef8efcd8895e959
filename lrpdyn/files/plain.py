"""Plain files: a pipe or a device in the place of one would keep its reader waiting for ever."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

from lrpdyn.system.memory import usable_memory

#: Files up to this size are read without asking how much memory there is.
_SMALL = 1 << 26


def open_plain(path: str | Path, buffering: int = -1) -> Any:
    """Open a file for reading bytes; of a remote one, its local copy.

    Raises
    ------
    OSError
        It cannot be opened, or is a folder, a pipe, a socket or a device.
    """
    return open(path, "rb", buffering, opener=_opened)


def read_plain(path: Path) -> bytes:
    """Return the bytes of a plain file.

    Raises
    ------
    OSError
        As `open_plain`; or it has more bytes than this process may use.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _SMALL and size > (most := usable_memory()):
            raise OSError(
                errno.EFBIG,
                f"has {size:,} bytes, and this process may use {most:,} of memory",
                str(path),
            )
        content: bytes = file.read()
        return content


def check_plain(path: Path) -> None:
    """Raise OSError where `path` is not there or no plain file, before something else opens it."""
    _check(path.stat(), str(path))


def _opened(path: str, flags: int) -> int:
    # A pipe that is opened in the usual way waits for somebody to write.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    try:
        _check(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check(status: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, expected a file", path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is no plain file, but a pipe, a socket or a device", path)
