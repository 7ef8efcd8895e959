"""Files that a training job may still be writing: recognised by size and time, and waited for."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: A file that has not changed for so many seconds is not being written; one that changes for longer
#: than the second is not waited for. Clients of NFS see sizes and times some seconds late.
QUIET, PATIENCE = 3.0, 30.0
_INTERVAL = 0.2

_Stamp = tuple[int, int]


@dataclass(frozen=True)
class Settled:
    """Which of some files have stopped changing while they were watched, and which have not."""

    still: tuple[Path, ...]
    changing: tuple[Path, ...]


def wait_for(paths: Iterable[Path]) -> Settled:
    """Watch those of `paths` that changed lately until they change no more.

    Parameters
    ----------
    paths
        Files, or folders whose files are meant. What last changed `QUIET` seconds ago or earlier is
        neither watched nor returned.
    """
    started = time.monotonic()
    stamps = {path: stamp for path in paths if (stamp := _stamp(path)) is not None}
    # The clock of a file server may differ: what seems to be of the future has changed just now.
    ages = {path: time.time() - changed / 1e9 for path, (_, changed) in stamps.items()}
    changed = {path: started - max(age, 0.0) for path, age in ages.items() if age < QUIET}
    still: list[Path] = []
    while changed and time.monotonic() - started < PATIENCE:
        time.sleep(min(_INTERVAL, QUIET / 2))
        for path in list(changed):
            stamp = _stamp(path)
            if stamp != stamps[path]:
                stamps[path] = stamp or (0, 0)
                changed[path] = time.monotonic()
            elif time.monotonic() - changed[path] >= QUIET:
                still.append(path)
                del changed[path]
    return Settled(still=tuple(still), changing=tuple(changed))


def _stamp(path: Path) -> _Stamp | None:
    """Return the bytes of a file, or of all files in a folder, and when they last changed (ns)."""
    try:
        files = [path, *path.iterdir()] if path.is_dir() else [path]
        found = [file.stat() for file in files]
    except OSError:
        return None
    return sum(status.st_size for status in found), max(status.st_mtime_ns for status in found)
