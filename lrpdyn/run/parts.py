"""The parts of a run folder, which may come from a stranger: plain files and folders inside it.

What is read may be a link to something that lies in the folder too; what is written may be no link.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from lrpdyn.errors import RunError

#: The folders of a run that lrpdyn makes; all in them is its own, but for figures.
_FOLDERS = ("relevance", "figures", "shard", ".maps", ".live")
_DRAWN = ("dynamics.png", "dynamics.txt")
#: The files next to them that it makes; other files and links there are the user's.
_FILES = re.compile(
    r"(manifest|outliers)\.json|journal\.jsonl|report\.html|\.lock(\.json)?|[a-z_]+\.(npy|csv|parquet)"
)
_KINDS = ((stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"),
          (stat.S_ISBLK, "a device"))  # fmt: skip


def check_parts(run: Path, *, writing: bool) -> None:
    """Refuse a run folder whose parts lead out of it, or are no plain files.

    The folder itself may be a link, for the user named it.

    Raises
    ------
    RunError
        The message names the part.
    """
    try:
        inside = os.path.realpath(run)
        for entry in _parts(run):
            if entry.is_symlink():
                _check_link(Path(entry.path), inside, writing)
            kind = entry.stat().st_mode if os.path.exists(entry) else stat.S_IFREG
            _check_kind(Path(entry.path), kind)
    except OSError as error:
        where = run if error.filename is None else error.filename
        raise RunError(f"{where}: cannot be read: {error.strerror or error}") from error


def check_target(run: Path, target: Path) -> None:
    """Refuse to write `target` through a link of a run folder, where it lies in one.

    Raises
    ------
    RunError
        The message names the link.
    """
    parts = [target.absolute(), *target.absolute().parents]
    inside = next((n for n, part in enumerate(parts) if part.exists() and part.samefile(run)), None)
    if inside is None:
        return
    check_parts(run, writing=True)
    for part in parts[:inside]:
        if part.is_symlink():
            _check_link(part, "", writing=True)


def _parts(run: Path) -> Iterator[os.DirEntry[str]]:
    """Yield what lrpdyn would open, and what nobody may: files that are none."""
    folders = []
    for entry in _entries(run):
        if entry.name in _FOLDERS:
            folders.append(entry)
        special = not (entry.is_file() or entry.is_dir() or entry.is_symlink())
        if special or entry.name in _FOLDERS or _FILES.fullmatch(entry.name):
            yield entry
    for folder in folders:
        for entry in _entries(Path(folder.path)):
            theirs = folder.name == "figures" and entry.name not in _DRAWN
            if not (theirs and entry.is_symlink()):
                yield entry


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except (FileNotFoundError, NotADirectoryError):
        return


def _check_link(link: Path, inside: str, writing: bool) -> None:
    if writing:
        raise RunError(
            f"{link}: is a link, and nothing is written through links of a run folder; put what it leads "
            "to in its place, or choose another folder with -o"
        )
    target = os.path.realpath(link)
    if not target.startswith(os.path.join(inside, "")):
        raise RunError(
            f"{link}: is a link that leaves the run folder, and is not followed; put what it leads to in "
            "its place"
        )


def _check_kind(path: Path, mode: int) -> None:
    for is_kind, name in _KINDS:
        if is_kind(mode):
            raise RunError(f"{path}: is {name}, expected a plain file; delete it")
