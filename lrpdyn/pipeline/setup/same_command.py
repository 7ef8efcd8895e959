"""The same command on a finished run, recognised by its options and by the stamps of files alone.

Nothing that is read needs torch. A stamp is what changes when a file does: its size, the times of its
last changes, its number on the disk. Where anything differs, or stamps cannot show whether it does, the
command is run as any other.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lrpdyn.api import Run, open_run
from lrpdyn.errors import RunError
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.run.journal import JOURNAL
from lrpdyn.run.layout import FEATURES, RESULTS
from lrpdyn.run.manifest import read_manifest, save_manifest
from lrpdyn.version import __version__

#: Some disks keep times to two seconds: a file that changed just now may change again with the same time.
_SETTLED = 2.5
_MOST_FILES = 200_000
#: Where the manifest has the record of the command, in its environment.
_RECORD = "asked"
_SAME_RESULTS = {f.name for f in fields(Options) if not f.metadata.get("changes_results", True)}
_RUN_AGAIN = {f.name for f in fields(Options) if f.metadata.get("runs_again")}


class _UnknownError(Exception):
    """There is something whose changes stamps would not show."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that computes a run, before anything is done.

    Attributes
    ----------
    out
        The run folder.
    key
        A hash of its options and of the stamps of its files; None where stamps do not show every change.
    runs_again
        Whether it asks for more than the results: it is run even where they are there.
    """

    out: Path
    key: str | None
    runs_again: bool = False

    def finished_run(self) -> Run | None:
        """Return the run if this command finished it, and nothing that matters has changed since."""
        if self.key is None or self.runs_again:
            return None
        try:
            run = open_run(self.out)
            found = run.manifest.get("environment", {}).get(_RECORD)
            return run if found == self._record() else None
        except (OSError, RunError):
            return None

    def record(self, run: Run) -> None:
        """Write into the manifest of `run`, which is finished, that this command made it."""
        from lrpdyn.run.lock import locked  # not needed to answer

        if self.key is None:
            return
        # Where the folder cannot be written to, say, the command is run each time.
        with contextlib.suppress(OSError, RunError), locked(self.out):
            manifest, record = read_manifest(self.out), self._record()
            # Another process may have computed here since.
            same = manifest.get("sha256") == run.manifest.get("sha256")
            if same and manifest["environment"].get(_RECORD) != record:
                environment = {**manifest["environment"], _RECORD: record}
                save_manifest(self.out, {**manifest, "environment": environment})

    def _record(self) -> dict[str, Any]:
        return {"lrpdyn": __version__, "asked": self.key, "results": _digest(_results(self.out))}


def command_of(inputs: Iterable[str | Path], options: Mapping[str, Any]) -> Command:
    """Return the command with these options.

    Parameters
    ----------
    inputs
        Files, folders, or globs that it reads.
    options
        By name, ``out`` among them; plain values, paths, or sequences of them, which may name files too.
    """
    out, again = Path(options["out"]), any(options.get(name) for name in _RUN_AGAIN)
    options = {name: value for name, value in options.items() if name not in _SAME_RESULTS}
    named = [str(entry) for value in options.values() for entry in _values(value)]
    # FILE.py:CALLABLE, FILE.csv:COLUMN, KEY=FILE: whatever part of it is a path.
    parts = {part for text in named for part in _parts(text)}
    try:
        if any("://" in text for text in named):
            raise _UnknownError
        stamps = [list(_stamps_of(str(path))) for path in inputs]
        files = [list(_stamps_of(part)) for part in sorted(parts) if os.path.exists(part)]
        key = _digest([os.getcwd(), stamps, files, sorted(options.items())])
    except (_UnknownError, OSError):
        key = None
    return Command(out=out, key=key, runs_again=again)


def _values(value: Any) -> Iterator[Any]:
    if isinstance(value, str | os.PathLike):
        yield value
    elif isinstance(value, Iterable):
        for entry in value:
            yield from _values(entry)


def _parts(text: str) -> set[str]:
    parts = {text}
    for sign in ":=+":
        for part in list(parts):
            parts |= {part.partition(sign)[0], part.rpartition(sign)[0]}
            parts |= {part.partition(sign)[2], part.rpartition(sign)[2]}
    return {part for part in parts if part and "\0" not in part}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, default=str).encode()).hexdigest()


def _stamps_of(text: str) -> Iterator[Any]:
    """Yield the stamp of a path, or of what a glob matches, and of everything below it."""
    paths = [text] if os.path.lexists(text) else sorted(glob.glob(text))
    # FILE.npz:KEY, NAME=FILE, and files in a remote store
    paths = paths or sorted(filter(os.path.exists, _parts(text)))
    if not paths or "://" in text:
        raise _UnknownError
    yield text
    for path in paths:
        yield from _below(path, [0])


def _below(path: str, count: list[int]) -> Iterator[Any]:
    count[0] += 1
    if count[0] > _MOST_FILES:
        raise _UnknownError
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        yield "link", path, os.readlink(path)
        if os.path.isdir(path):
            raise _UnknownError  # what is below may be anywhere
        if not os.path.exists(path):
            return
        status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        yield "folder", os.path.abspath(path)
        for name in sorted(os.listdir(path)):
            yield from _below(os.path.join(path, name), count)
        return
    if status.st_mtime > time.time() - _SETTLED:
        raise _UnknownError
    times = status.st_mtime_ns, status.st_ctime_ns
    yield os.path.abspath(path), status.st_size, *times, status.st_ino, status.st_mode


def _results(run: Path) -> list[Any]:
    """Return sizes and times of the files of a run, except its manifest, which is read.

    Times of figures do not count: one may have been drawn again, the same.
    """
    maps = sorted(f"relevance/{path.name}" for path in (run / "relevance").glob("*"))
    found: list[Any] = []
    flat = [FEATURES] if (run / FEATURES).exists() else []
    for name in (JOURNAL, *RESULTS, *flat, *maps):
        status = os.stat(run / name)
        drawn = name.startswith("figures/")
        times = status.st_mtime_ns, status.st_ctime_ns
        found.append((name, status.st_size, None if drawn else times))
    return found
