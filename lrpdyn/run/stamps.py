"""Whether a file is as it was written: by its stamp, and by its hash where the stamp is another.

A stamp is what changes when a file does. That of a copy is another, too: its bytes are then compared,
once in a process.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from lrpdyn.files.atomic import sha256_of


def stamp_of(path: Path) -> list[int]:
    """Return size in bytes, times of the last change of content and of status (ns), and inode.

    The second time cannot be set back by who changes a file, as the first can.
    """
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def is_as_written(path: Path, sha256: str | None, stamp: Sequence[int] | None) -> bool:
    """Tell whether a file holds the bytes of `sha256`; None where an earlier version kept no hash.

    Parameters
    ----------
    stamp
        That of the file when it had this hash; None where it is not known.

    Raises
    ------
    OSError
        The file is missing, or cannot be read.
    """
    if sha256 is None:
        return True
    now = stamp_of(path)
    return now == stamp or _sha256(path, tuple(now)) == sha256


@lru_cache(maxsize=1 << 14)
def _sha256(path: Path, stamp: tuple[int, ...]) -> str:
    """Return the hash of a file as long as it has this stamp."""
    return sha256_of(path)
