"""Which runs can be compared in what: settings that differ between them, and what these rule out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lrpdyn.comparison.rows import Row, needs_of
from lrpdyn.errors import UsageError
from lrpdyn.run.reader import RunFolder

#: The settings that decide what can be compared, in words.
SETTINGS = {
    "observations": "observations",
    "samples": "numbers of observations",
    "architecture": "networks",
    "head": "heads",
    "target": "targets",
    "contrast": "contrasts",
    "normalize": "normalisations",
    "reference": "references",
    "rule": "rules",
    "unit": "units of steps",
    "step_list": "steps",
}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A setting in which runs differ: its name, the runs by its values, and columns without a mean.

    `runs` has the names of the runs of each value, most first.
    """

    setting: str
    runs: dict[Any, list[str]]
    columns: tuple[str, ...]


def differences(rows: Sequence[Row], columns: Sequence[str]) -> list[Difference]:
    """Return the settings in which runs differ, and which of `columns` they cannot share a mean of."""
    found = []
    for setting in SETTINGS:
        runs: dict[Any, list[str]] = {}
        for row in rows:
            runs.setdefault(row[setting], []).append(row["path"])
        if len(runs) > 1:
            most = sorted(runs.items(), key=lambda item: -len(item[1]))
            refused = tuple(name for name in columns if setting in (needs_of(name) or ()))
            found.append(Difference(setting=setting, runs=dict(most), columns=refused))
    return found


def need_maps_of_the_same(runs: Sequence[RunFolder], rows: Sequence[Row], what: str) -> None:
    """Refuse, for `what` was asked for, runs whose maps cannot be drawn next to each other.

    Raises
    ------
    UsageError
        A run has no explained step, keeps no maps, or has other observations than the first.
    """
    for run, row in zip(runs, rows, strict=True):
        if row["steps"] == 0:
            raise UsageError(
                f"{what}: {row['path']} has no explained step; leave it out, or compute it again"
            )
        if run.keep == "none":
            raise UsageError(
                f"{what}: {row['path']} keeps no maps (--keep none); leave it out, or compute it with --keep "
                "pixels into another folder"
            )
        if row["observations"] != rows[0]["observations"]:
            raise UsageError(
                f"{what}: {rows[0]['path']} and {row['path']} have other observations; leave "
                "one out, or compute both on the same"
            )


def why_not(rows: Sequence[Row], column: str) -> str | None:
    """Return why runs cannot share a mean of a column, in words; None where they can."""
    other = [
        words
        for setting, words in SETTINGS.items()
        if setting in (needs_of(column) or ()) and len({row[setting] for row in rows}) > 1
    ]
    return f"other {', '.join(other)}" if other else None
