"""Which run folders are meant: folders, folders of folders, and patterns such as ``seed_*/zplus``."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from lrpdyn.errors import UsageError
from lrpdyn.files.nearby import MANIFEST
from lrpdyn.run.missing import no_run

#: What a run folder holds. Two of these show that a folder below a given one is a run: other programs write
#: a manifest.json, too, and a run that lost a file is to be named.
_OF_A_RUN = {MANIFEST, "journal.jsonl", "metrics.csv", "relevance"}


def find_runs(given: Iterable[str | Path], what: str = "compare") -> list[Path]:
    """Return run folders in the order that they are given in, each once; numbers in names count.

    A folder that is no run stands for all runs below it, which links are not followed to. A pattern
    that is no file's name stands for what it matches. `what` was asked for, in an error.

    Raises
    ------
    RunError
        A folder is not there, or has no run in it.
    UsageError
        Nothing matches a pattern, or nothing is given.
    """
    found: dict[str, Path] = {}
    for entry in given:
        for path in _matches(str(entry), what):
            for run in _below(path):
                found.setdefault(os.path.realpath(run), run)
    if not found:
        raise UsageError(f"{what}: expected run folders, found none; lrpdyn {what} RUN RUN")
    return list(found.values())


def _matches(text: str, what: str) -> list[Path]:
    if os.path.lexists(text) or not glob.has_magic(text):
        return [Path(text)]
    found = sorted(map(Path, glob.glob(text, recursive=True)), key=_by_number)
    # A pattern for runs may match pictures and tables that lie next to them.
    folders = [path for path in found if path.is_dir()]
    if not folders:
        raise UsageError(f"{what} {text}: no folder matches; give the folders of the runs")
    runs = [path for path in folders if any(_below(path, strict=False))]
    return runs or folders


def _below(path: Path, *, strict: bool = True) -> Iterator[Path]:
    if not path.is_dir():
        raise no_run(path)
    if (path / MANIFEST).exists():
        yield path
        return
    none = True
    for folder, inside, files in os.walk(path):
        if len(_OF_A_RUN & {*inside, *files}) > 1:
            inside.clear()
            none = False
            yield Path(folder)
        inside.sort(key=lambda name: _by_number(Path(name)))
    if none and strict:
        raise no_run(path)


def _by_number(path: Path) -> list[tuple[bool, int, str]]:
    """Return what sorts seed_2 before seed_10."""
    parts = re.split(r"(\d+)", str(path))
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
