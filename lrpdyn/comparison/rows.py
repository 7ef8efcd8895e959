"""One run as one row of plain values; one run is read at a time, and no map of it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lrpdyn.checkpoints.digests import SIGN, recorded
from lrpdyn.errors import LrpdynError, RunError, UnreadableRunsError, UsageError
from lrpdyn.files.nearby import did_you_mean
from lrpdyn.files.text import first_line, printable
from lrpdyn.run.question import rule_with_values
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series
from lrpdyn.system.processes import available, in_order

#: A row: values by column, None where a run does not have one.
Row = dict[str, Any]

#: Fewer runs are read here: it takes as long to begin other processes.
_FEWEST_SHARED = 8
_SHARE, _FLAGS = "share_", "flags_"
_SEED = re.compile(r"(?<![a-z0-9])seed[\W_]?(\d+)(?!\d)", re.IGNORECASE)
#: CleanRL's names: environment, experiment, seed, seconds since 1970.
_CLEANRL_SEED = re.compile(r"__(\d+)__\d{9,11}(?!\d)")
#: So short a name may also be that of a machine's folder: taken below the folder of all runs only.
_SHORT_SEED = re.compile(r"(?<![a-z0-9])s[-_=]?(\d+)(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A column of the table of runs.

    Attributes
    ----------
    name, says
        Its name, and what it holds in one line.
    value
        Gives it from a run; None where the run does not have it.
    needs
        The settings that runs must have in common for a mean of it; None: it has no mean.
    bounds
        The least and the largest value that it can have, and so that its mean can have.
    """

    name: str
    says: str
    value: Callable[[RunFolder], Any]
    needs: tuple[str, ...] | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]


def _training(run: RunFolder) -> str:
    """Return what two runs that explain the same training have in common: its last weights."""
    last = [one for one in run.manifest["checkpoints"] if one["status"] == "done"][-1:]
    known = recorded(last[0]) if last else None
    return known.partition(SIGN)[2][:12] if known else _hash(os.path.abspath(run.path))


def _last_score(run: RunFolder) -> float | None:
    scores = table_series(run).median("score")
    return float(scores[-1]) if len(scores) else None


def _faithfulness(run: RunFolder, place: int) -> float | None:
    found = run.manifest["checks"].get("faithfulness") or {"steps": []}
    known = [one["abpc"].get("rule") for one in found["steps"]]
    known = [value for value in known if value is not None]
    return float(known[place]) if known else None


def _dependence(name: str) -> Callable[[RunFolder], float | None]:
    def value(run: RunFolder) -> float | None:
        found = run.manifest["checks"].get("dependence")
        return found[-1][name]["median"] if found else None

    return value


def _dormant(run: RunFolder) -> float | None:
    if "layers.csv" not in run.manifest.get("files", {}):
        return None
    table = run.layers
    last = table["dormant_share"][table["step"] == run.steps[-1]]
    known = last[np.isfinite(last)]
    return float(known.mean()) if known.size else None


def _flags(run: RunFolder) -> int:
    totals = run.outliers["totals"]
    flagged = sum(totals[kind]["mild"] + totals[kind]["far"] for kind in ("steps", "samples"))
    return int(flagged + totals["pathologies"]["values"])


#: The least and the largest value of shares and of absolute cosines, of cosines, and of counts and sizes.
_SHARES, _COSINES, _SIZES = (0.0, 1.0), (-1.0, 1.0), (0.0, math.inf)
_SAME_MAPS = ("observations", "head", "target", "contrast", "normalize")
_SAME_CHANGES = (*_SAME_MAPS, "rule", "reference", "unit", "step_list")

#: The columns of every run, in order; shares of regions and flags by cause follow.
ENTRIES: list[Entry] = [
    Entry(name="path", says="the run folder", value=lambda run: printable(str(run.path))),
    Entry(name="rule", says="the rule", value=lambda run: rule_with_values(run.manifest)),
    Entry(name="architecture", says="the network",
          value=lambda run: run.manifest["architecture"]["name"]),
    Entry(name="head", says="the head that is explained", value=lambda run: run.manifest["head"]),
    Entry(name="target", says="the target policy",
          value=lambda run: run.manifest["target"]["policy"]),
    Entry(name="contrast", says="what is subtracted", value=lambda run: run.manifest["contrast"]),
    Entry(name="normalize", says="the normalisation", value=lambda run: run.manifest["normalize"]),
    Entry(name="reference", says="the reference",
          value=lambda run: run.manifest.get("reference", "none")),
    Entry(name="unit", says="the unit of steps", value=lambda run: run.manifest["unit"]),
    Entry(name="observations", says="the SHA-256 of the observations, its first digits",
          value=lambda run: run.manifest["observations"]["sha256"][:12]),
    Entry(name="step_list", says="a hash of the list of steps",
          value=lambda run: _hash(run.steps)),
    Entry(name="training", says="the digest of the last weights, its first digits",
          value=_training),
    Entry(name="samples", says="number of observations", value=lambda run: run.shape[0]),
    Entry(name="steps", says="number of explained steps", value=lambda run: len(run.steps)),
    Entry(name="last_step", says="the last explained step",
          value=lambda run: run.steps[-1] if run.steps else None),
    Entry(name="score", says="median score at the last step", needs=_SAME_MAPS[:4],
          value=_last_score),
    Entry(name="reward", says="the training curve (compute --curve) at the last step", needs=(),
          value=lambda run: run.outliers.get("curve", {}).get("last")),
    Entry(name="change", says="sum over transitions of the median change of samples",
          needs=_SAME_CHANGES, bounds=_SIZES,
          value=lambda run: float(table_series(run).median_changes().sum())),
    Entry(name="lasted", says="the part of all change that lasted", needs=("unit", "step_list"),
          bounds=_SHARES, value=lambda run: run.manifest["checks"].get("dynamics", {}).get("net_share")),
    Entry(name="faithfulness_first", says="median faithfulness at the first step where it was measured",
          needs=("observations", "head"), value=lambda run: _faithfulness(run, 0)),
    Entry(name="faithfulness_last", says="the same at the last such step",
          needs=("observations", "head"), value=lambda run: _faithfulness(run, -1)),
    Entry(name="best_to_worst", says="cosine of the maps of the best and the worst unit, last step",
          needs=("head",), bounds=_COSINES, value=_dependence("best_to_worst")),
    Entry(name="upper_layers", says="cosine to the map with upper layers drawn anew, last step",
          needs=("head",), bounds=_SHARES, value=_dependence("upper_layers")),
    Entry(name="random", says="likeness to maps of random networks, last step", needs=("head",),
          bounds=_SHARES, value=_dependence("random")),
    Entry(name="random_to_random", says="likeness of random networks' maps to each other",
          needs=("head",), bounds=_SHARES, value=_dependence("random_to_random")),
    Entry(name="dormant_share", says="share of dormant units at the last step, mean over layers",
          needs=("architecture",), bounds=_SHARES, value=_dormant),
    Entry(name="broken", says="checkpoints that could not be read or are not finite", needs=(), bounds=_SIZES,
          value=lambda run: sum(one["status"] in ("bad", "not_finite")
                                for one in run.manifest["checkpoints"])),
    Entry(name="pathologies", says="faults of maps at a step and sample",
          needs=("samples", "step_list"), bounds=_SIZES,
          value=lambda run: run.outliers["totals"]["pathologies"]["values"]),
    Entry(name="flags", says="unusual or extreme steps and samples, and faults",
          needs=("samples", "step_list"), bounds=_SIZES, value=_flags),
]  # fmt: skip


def needs_of(column: str) -> tuple[str, ...] | None:
    """Return the settings that runs must have in common for a mean of a column; None: it has none."""
    if column.startswith(_SHARE):
        return ("observations", "head")
    if column.startswith(_FLAGS):
        return ("samples", "step_list")
    return next((entry.needs for entry in ENTRIES if entry.name == column), None)


def bounds_of(column: str) -> tuple[float, float]:
    """Return the least and the largest value that a column can have."""
    if column.startswith(_SHARE):
        return _SHARES
    if column.startswith(_FLAGS):
        return _SIZES
    return next((e.bounds for e in ENTRIES if e.name == column), (-math.inf, math.inf))


def row_of(run: RunFolder) -> Row:
    """Return the row of a run.

    Raises
    ------
    RunError
        A table or the report of the run cannot be read. A table that an older version did not write
        is no such fault.
    """
    if run.manifest.get("shard"):
        raise RunError(f"{run.path}: is a shard; lrpdyn merge makes a run of all shards")
    row = {entry.name: entry.value(run) for entry in ENTRIES}
    if run.steps:
        series = table_series(run)
        known = series.region_columns(_SHARE)
        regions = [
            name for name in known if not name.startswith(("share_per_area_", "share_per_random_"))
        ]
        row |= {name: float(series.median(name)[-1]) for name in regions}
    report = run.outliers
    entries = [entry for kind in ("steps", "samples") for entry in report[kind]
               if entry["severity"] != "none"]  # fmt: skip
    causes = Counter(
        entry["causes"][0]["cause"]
        for entry in [*entries, *report["pathologies"]]
        if entry["causes"]
    )
    row |= {f"{_FLAGS}{cause}": count for cause, count in sorted(causes.items())}
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def read_rows(runs: Sequence[Path]) -> list[Row]:
    """Return the rows of runs.

    Every row has every column; numbers that a run does not have are None, and so are its seed and
    shares. Flags of a cause that it does not have are 0.

    Raises
    ------
    UnreadableRunsError
        Some cannot be read; all of these are named.
    """
    workers = min(available(), len(runs)) if len(runs) >= _FEWEST_SHARED else 1
    rows: list[Row] = []
    bad: dict[Path, str] = {}
    found_of_all = in_order(_row_or_reason, runs, workers)
    for run, seed, found in zip(runs, seeds_of(runs), found_of_all, strict=True):
        if isinstance(found, str):
            bad[run] = found
        else:
            first = {name: found.pop(name) for name in ("path", "rule")}
            rows.append({**first, "seed": seed, **found})
    if bad:
        raise UnreadableRunsError(bad)
    more = sorted(
        {name for row in rows for name in row} - {entry.name for entry in ENTRIES} - {"seed"},
        key=lambda name: (name.startswith(_FLAGS), name),
    )
    absent = {name: 0 if name.startswith(_FLAGS) else None for name in more}
    return [{**row, **absent, **{n: row[n] for n in more if n in row}} for row in rows]


def _row_or_reason(path: Path) -> Row | str:
    try:
        return row_of(RunFolder.open(path))
    except LrpdynError as error:
        return printable(str(error))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        return f"{printable(str(path))}: is not as lrpdyn writes runs ({first_line(error)})"


def seeds_of(runs: Sequence[Path]) -> list[int | None]:
    """Return the seeds that paths name, as ``seed_3``, ``s3`` and CleanRL's do; the last part counts.

    >>> seeds_of([Path("a/seed_3/zplus"), Path("a/s12"), Path("a/Pong-v5__ppo__2__1690000000"), Path("a/b")])
    [3, 12, 2, None]
    """
    paths = [os.path.abspath(run) for run in runs]
    common = len(os.path.commonpath(paths)) if len(paths) > 1 else 0
    found: list[int | None] = []
    for path in paths:
        named = _SEED.findall(path) or _CLEANRL_SEED.findall(path)
        named = named or _SHORT_SEED.findall(path[common:])
        found.append(int(named[-1]) if named and len(named[-1]) < 18 else None)
    return found


def chosen_columns(rows: Sequence[Row], metrics: Iterable[str]) -> list[str]:
    """Return the columns that are asked for, after those that name a run; all where none is.

    Raises
    ------
    UsageError
        There is no such column.
    """
    known, wanted = list(rows[0]), list(metrics)
    for name in wanted:
        if "," in name and name not in known:
            each = " ".join(f"--metric {part.strip()}" for part in name.split(","))
            raise UsageError(f"--metric {name}: expected one column; give several as {each}")
        check_column(known, name, "--metric")
    names = ("path", "rule", "seed")
    return [*names, *(name for name in wanted if name not in names)] if wanted else known


def sorted_places(rows: Sequence[Row], column: str | None) -> list[int]:
    """Return the places of rows by a column, the smallest first (after a minus, the largest).

    Rows without a value come last.

    Raises
    ------
    UsageError
        There is no such column.
    """
    if column is None:
        return list(range(len(rows)))
    descending, name = column.startswith("-"), column.removeprefix("-")
    check_column(list(rows[0]), name, "--sort")
    there = [place for place, row in enumerate(rows) if row[name] is not None]
    there.sort(key=lambda place: rows[place][name], reverse=descending)
    return [*there, *(place for place, row in enumerate(rows) if row[name] is None)]


def check_column(known: Sequence[str], name: str, option: str) -> None:
    """Raise UsageError where runs have no such column."""
    if name not in known:
        raise UsageError(
            f"{option} {name or 'nothing'}: no such column{did_you_mean(name, known)}; there are "
            f"{', '.join(known)}"
        )
