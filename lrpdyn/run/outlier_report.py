"""The stored outlier report, read. Plain Python: `lrpdyn outliers` starts at once."""

from __future__ import annotations

import hashlib
import operator
import sys
from pathlib import Path
from typing import Any

from lrpdyn.errors import UnreadableRunsError
from lrpdyn.files.json_data import parse_json, read_json
from lrpdyn.files.plain import read_plain
from lrpdyn.files.reasons import reason_of
from lrpdyn.files.text import printable_data
from lrpdyn.outliers.render import KINDS, SEVERITIES, as_csv, as_short, as_table
from lrpdyn.run.missing import no_run
from lrpdyn.run.parts import check_parts

NAME = "outliers.json"
SCHEMA = 1
_ANEW = "the command that made the run makes it anew"
#: The numbers that every entry, and every total, has or gives as null.
_NUMBERS = ("fence_mild", "fence_far")
#: Where the entries of each kind are, at least.
_WHERE = {
    "pathologies": ("step",),
    "steps": ("from_step", "to_step"),
    "samples": ("sample",),
    "pixels": ("column",),
    "cells": ("from_step", "to_step", "sample"),
}


def read_report(run: Path) -> dict[str, Any]:
    """Return the outlier report that ``compute`` stored in the folder `run`.

    Raises
    ------
    RunError
        There is none, its bytes are not those that were written, or, where no manifest has its hash,
        it cannot be used; or it is of a newer schema.
    """
    try:
        check_parts(run, writing=False)
        content = read_plain(run / NAME)
        report: dict[str, Any] = parse_json(content)
    except (FileNotFoundError, NotADirectoryError) as error:
        if _written(run) is None:
            raise no_run(run, "finished run") from error
        raise _unreadable(run, f"cannot be read ({reason_of(error)}); {_ANEW}") from error
    except (OSError, ValueError) as error:
        raise _unreadable(run, f"cannot be read ({reason_of(error)}); {_ANEW}") from error
    try:
        if report["schema"] > SCHEMA:
            raise _unreadable(run, f"schema {report['schema']}; install a newer lrpdyn")
        if _written(run) not in (None, hashlib.sha256(content).hexdigest()):
            from lrpdyn.run.layout import OTHER_BYTES, damaged

            raise damaged(run, NAME, OTHER_BYTES)
        if report["schema"] != SCHEMA:
            raise ValueError(f"schema {report['schema']}, expected {SCHEMA}")
        _use_all(report)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _unreadable(run, f"is damaged ({reason_of(error)}); {_ANEW}") from error
    cleaned: dict[str, Any] = printable_data(report)
    return cleaned


def _unreadable(run: Path, what: str) -> UnreadableRunsError:
    return UnreadableRunsError({run: f"{run / NAME}: {what}"})


def _written(run: Path) -> str | None:
    """Return the hash of the report as the manifest has it; None where it has none."""
    try:
        found: str | None = read_json(run / "manifest.json")["files"][NAME]
    except (OSError, LookupError, TypeError, ValueError):
        return None
    return found


def _use_all(report: dict[str, Any]) -> None:
    """Use whatever is used of a report: a wrong one, by whoever made it, raises here and not later."""
    as_table(report, KINDS, sys.maxsize)
    as_short(report, 80)
    as_csv(report, KINDS, None)
    for kind, names in report.get("names", {}).items():
        "".join([kind, *names, *names.values()])
    for entry in report["pathologies"]:
        entry["causes"][0]["cause"].startswith("")
    numbers = [report["totals"][kind][name] for kind in KINDS for name in _NUMBERS]
    for kind, where in _WHERE.items():
        for entry in report[kind]:
            SEVERITIES.index(entry["severity"])
            numbers += [entry[name] for name in ("value", *_NUMBERS)]
            numbers += [operator.index(place) for place in entry["where"].values()]
            operator.itemgetter(*where)(entry["where"])
    sum(number for number in numbers if number is not None)
