"""Runs that can be read: one that cannot is named, and what is asked for is made of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from lrpdyn.errors import RunError, UnreadableRunsError
from lrpdyn.files.text import printable
from lrpdyn.run.reader import RunFolder

Made = TypeVar("Made")


def of_readable(
    folders: Sequence[Path], make: Callable[[Sequence[RunFolder]], Made], what: str
) -> tuple[Made, dict[Path, str]]:
    """Return what `make` makes of the runs that can be read, and why each other one cannot be read.

    Nothing is read for the sake of this check alone: where `make` finds a damaged file, it starts again
    without the run that has it. `what` was asked for, in an error.

    Raises
    ------
    RunError
        Fewer than two runs can be read.
    """
    runs: list[RunFolder] = []
    skipped: dict[Path, str] = {}
    for folder in folders:
        try:
            runs.append(RunFolder.open(folder))
        except RunError as error:
            skipped[folder] = printable(str(error))
    while True:
        if skipped and len(runs) < 2:
            raise RunError(
                f"{what}: {len(runs)} of {len(folders)} runs can be read, expected two or more; "
                f"{UnreadableRunsError(skipped)}"
            )
        try:
            return make(runs), skipped
        except UnreadableRunsError as error:
            left = [run for run in runs if run.path not in error.reasons]
            if len(left) == len(runs):
                raise
            runs = left
            skipped |= {run: printable(why) for run, why in error.reasons.items()}
