"""Plain files that anybody may have made: no FIFO, no device, and no more than memory can take."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from lrpdyn.system.memory import usable_memory


def read_plain(path: Path) -> bytes:
    """Return the bytes of a plain file.

    Raises
    ------
    OSError
        It cannot be read, is no plain file, or has more bytes than this process may use.
    """
    # A FIFO would be waited for; whether it is one is known once it is open.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no plain file", str(path))
        if status.st_size > (most := usable_memory()):
            raise OSError(
                errno.EFBIG,
                f"has {status.st_size:,} bytes, and this process may use {most:,}",
                str(path),
            )
        return file.read()
