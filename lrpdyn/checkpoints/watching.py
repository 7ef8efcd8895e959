"""A folder that checkpoints are being written into: which of its entries are whole.

The folder is listed again and again, which works on network file systems too. An entry counts once
its size and time have not changed between two listings and its container is complete. An entry that
does not change is read once.
"""

from __future__ import annotations

import glob
import time
from dataclasses import replace
from pathlib import Path

from lrpdyn.checkpoints import settling
from lrpdyn.checkpoints.discovery import Instead, Reading, discover
from lrpdyn.checkpoints.model import LeftOut, Listing
from lrpdyn.checkpoints.selection import Selection
from lrpdyn.checkpoints.series import Found

#: Why an entry is skipped that still changes.
WRITTEN = "is being written"
#: The size and time (ns) of every file of an entry.
Stamp = tuple[tuple[str, int, int], ...]


class Watch:
    """What is whole in a folder, or under a glob.

    Parameters
    ----------
    where
        A folder, or a glob.
    still
        Seconds for which an entry must not have changed.
    """

    def __init__(
        self,
        where: str | Path,
        selection: Selection,
        still: float,
        *,
        trust: bool,
        links: bool = False,
    ) -> None:
        self.where = str(where)
        self._selection, self._seconds = selection, still
        self._trust, self._links = trust, links
        #: The stamp of each entry, and since when it is known.
        self._stamps: dict[Path, tuple[Stamp, float]] = {}
        self._known: dict[Path, tuple[Stamp, Found | LeftOut]] = {}
        self._newest = -1

    def look(self) -> Listing:
        """Return the checkpoints that are whole and have a number in their name.

        Others (``latest``, ``best``) are copies that are written again and again: they are read
        when all has ended.
        """
        listing = self._discovered(self._numbered)
        return replace(listing, left_out=tuple(e for e in listing.left_out if not e.bad))

    def look_at_all(self) -> Listing:
        """Return all checkpoints that are whole, and with them what is damaged."""
        return self._discovered(self._still)

    def is_past(self, step: int | None) -> bool:
        """Tell whether a checkpoint at `step` or after it was seen, whole or damaged for good."""
        return step is not None and self._newest >= step

    def _discovered(self, instead: Instead) -> Listing:
        is_glob = not Path(self.where).is_dir() and any(char in self.where for char in "*?[")
        if is_glob and not glob.glob(self.where):
            return Listing(
                checkpoints=(), left_out=(), unit="steps"
            )  # nothing matches it yet, or just now
        listing = discover(
            self.where,
            selection=self._selection,
            trust=self._trust,
            links=self._links,
            instead=instead,
        )
        after = [
            entry.step
            for entry in listing.left_out
            if entry.step is not None and not (entry.bad and self._is_recent(entry.path))
        ]
        steps = [checkpoint.step for checkpoint in listing.checkpoints]
        self._newest = max([self._newest, *after, *steps])
        return listing

    def _is_recent(self, path: Path) -> bool:
        """Tell whether an entry that cannot be read may yet be whole: writers rest, too."""
        return time.monotonic() - self._stamps[path][1] < settling.PATIENCE

    def distrust(self, path: Path, reason: str) -> None:
        """Call an entry bad, as long as it stays as it is."""
        self._known[path] = self._stamps[path][0], LeftOut(path=path, reason=reason, bad=True)

    def _numbered(self, path: Path, read: Reading) -> Found | LeftOut:
        found = self._still(path, read)
        if not any(char.isdigit() for char in path.name):
            return LeftOut(path=path, reason="its name has no number: read when following ends")
        return found

    def _still(self, path: Path, read: Reading) -> Found | LeftOut:
        stamp, now = _stamp(path), time.monotonic()
        before, since = self._stamps.get(path, ((), now))
        if stamp != before:
            since = now
        self._stamps[path] = stamp, since
        if stamp == () or now - since < self._seconds:
            return LeftOut(path=path, reason=WRITTEN)
        known = self._known.get(path)
        if known is None or known[0] != stamp:
            known = self._known[path] = stamp, read(path)
        return known[1]


def _stamp(path: Path) -> Stamp:
    """Return the stamp of an entry; empty where it is gone, or changes meanwhile."""
    try:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        found = []
        for file in files:
            status = file.stat()
            found.append((str(file), status.st_size, status.st_mtime_ns))
    except OSError:
        return ()
    return tuple(found)
