"""What a user has called for each new flag: a function, or a command that reads it as JSON."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lrpdyn.errors import RunError, UsageError
from lrpdyn.files.text import first_line, print_note
from lrpdyn.run.outlier_report import read_report

#: What is called for a flag: plain data, as `flags_of` gives it.
Called = Callable[[dict[str, Any]], object]
#: Seconds that a command may take.
_LONGEST = 60.0


class Flags:
    """Calls a function or a command once for each flag.

    Parameters
    ----------
    on_flag
        A function of a flag, or a command: a list of words, or a line that is split into words as a shell
        does. No shell runs it.
    run
        The run folder; what its report has already was told before.

    Raises
    ------
    UsageError
        The command is empty, or has a quotation mark too many.
    """

    def __init__(self, on_flag: Called | str | Sequence[str], run: Path) -> None:
        self._call = on_flag if callable(on_flag) else _command(on_flag)
        self._run = run
        try:
            self._told = {key for key, _ in flags_of(read_report(run))}
        except RunError:  # none yet, or of a run that was killed
            self._told = set()

    def tell(self, report: Mapping[str, Any]) -> None:
        """Call it for each flag of a report that was not told before; an error of it is said, and no more."""
        for key, flag in flags_of(report):
            if key in self._told:
                continue
            self._told.add(key)
            try:
                self._call({"run": str(self._run), **flag})
            except Exception as error:
                print_note(f"Warning: on-flag: {first_line(error)}")


def flags_of(report: Mapping[str, Any]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield the findings of an outlier report: what makes each the same in a later one, and what it says.

    Each is {``kind``, ``where``, ``severity``, ``words``}, the words as one text.
    """
    for found in [*report.get("first", ()), *report.get("then", ())]:
        where = found["where"]
        # A condition that lasts, or jumps in a row, end later in each report.
        key = (found["kind"], where.get("from_step", where.get("step")), where.get("sample"))
        words = " ".join(found["words"])
        yield (
            key,
            {"kind": found["kind"], "where": where, "severity": found["severity"], "words": words},
        )


def _command(given: str | Sequence[str]) -> Called:
    try:
        words = shlex.split(given) if isinstance(given, str) else list(given)
    except ValueError as error:
        raise UsageError(f"--on-flag {given}: {first_line(error)}") from error
    if not words:
        raise UsageError("--on-flag: expected a command, found nothing")

    def call(flag: dict[str, Any]) -> None:
        subprocess.run(
            words, input=json.dumps(flag) + "\n", text=True, timeout=_LONGEST, check=True,
            stdout=2,  # what lrpdyn prints on stdout is for scripts
        )  # fmt: skip

    return call
