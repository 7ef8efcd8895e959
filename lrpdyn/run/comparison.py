"""Runs side by side: which outliers stand in all of them, and how alike their dynamics are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from lrpdyn.dynamics.measures import centred_ranks, cosines, pixels, rows
from lrpdyn.errors import UsageError
from lrpdyn.files.names import NO_NAMES
from lrpdyn.files.text import printable, wrapped
from lrpdyn.outliers.render import place
from lrpdyn.run.question import rule_parts
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series

Place = tuple[tuple[str, int], ...]
#: The kinds of outliers that have a place in every run of the same steps and samples.
_KINDS = ("cells", "steps", "samples")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs on the same samples.

    `runs` have for each run what was requested, `pairs` for each two how alike their dynamics are,
    and `outliers` every place that is flagged in some run, with its severity in each ("none" where
    it is not, None where a run does not have it), those in most runs first.
    """

    runs: tuple[dict[str, Any], ...]
    pairs: tuple[dict[str, Any], ...]
    outliers: tuple[dict[str, Any], ...]


def compare(runs: Sequence[RunFolder]) -> Comparison:
    """Compare two or more runs.

    Raises
    ------
    UsageError
        There are fewer than two, or their samples differ.
    """
    if len(runs) < 2:
        raise UsageError(f"compare: expected two runs or more, found {len(runs)}")
    first = runs[0].manifest["observations"]
    for run in runs[1:]:
        other = run.manifest["observations"]
        if other["sha256"] != first["sha256"]:
            raise UsageError(
                f"compare: {runs[0].path} and {run.path} have other samples "
                f"({tuple(first['shape'])} and {tuple(other['shape'])}, as the networks saw them); "
                "compute both on the same observations"
            )
    return Comparison(
        runs=tuple(_requested(run) for run in runs),
        pairs=tuple(
            {"runs": [a, b], **_alike(runs[a], runs[b])}
            for a, b in combinations(range(len(runs)), 2)
        ),
        outliers=tuple(_outliers(runs)),
    )


def _requested(run: RunFolder) -> dict[str, Any]:
    manifest = run.manifest
    values = ",".join(f"{value}" for value in manifest["rule"]["parameters"].values())
    rule, attention = rule_parts(manifest)
    return {
        "path": printable(str(run.path)),
        "rule": (f"{rule}:{values}" if values else rule) + attention,
        "architecture": manifest["architecture"]["name"],
        "head": manifest["head"],
        "target": manifest["target"]["policy"],
        "contrast": manifest["contrast"],
        "normalize": manifest["normalize"],
        "reference": manifest.get("reference", "none"),
        "steps": len(run.steps),
        "pathologies": run.outliers["totals"]["pathologies"]["values"],
    }


def _alike(one: RunFolder, other: RunFolder) -> dict[str, Any]:
    """Return medians over samples of the likeness of two dynamics maps, and that of all changes.

    Changes of samples are not known where the tables of a run are by step.
    """
    maps = [rows(pixels(run.dynamics.astype(np.float64))) for run in (one, other)]
    alike: dict[str, Any] = {
        "cosine": _median(cosines(*maps)),
        "rank": _median(cosines(*map(centred_ranks, maps))),
        "cells": None,
        "change_rank": None,
    }
    first, second = _changes(one), _changes(other)
    if first is not None and second is not None:
        common = sorted(first.keys() & second.keys())
        alike["cells"] = len(common)
        if len(common) > 2:
            pair = [np.array([[changes[key] for key in common]]) for changes in (first, second)]
            alike["change_rank"] = _median(cosines(*map(centred_ranks, pair)))
    return alike


def _changes(run: RunFolder) -> dict[tuple[int, int, int], float] | None:
    """Return the changes by the steps that they lead from and to, and sample; None if unknown."""
    series = table_series(run)
    changes = series.changes()
    if changes is None:
        return None
    return {
        (*ends, sample): change
        for ends, row in zip(series.pairs(), changes.tolist(), strict=True)
        for sample, change in enumerate(row)
    }


def _median(values: Any) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None


def _outliers(runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """Return flagged places of every kind, with their severity and causes in each run."""
    found: dict[tuple[str, Place], dict[int, dict[str, Any]]] = {}
    for number, run in enumerate(runs):
        flagged = [(k, e) for k in _KINDS for e in run.outliers[k] if e["severity"] != "none"]
        flagged += [
            (entry["causes"][0]["cause"], {**entry, "severity": "pathology"})
            for entry in run.outliers["pathologies"]
        ]
        for kind, entry in flagged:
            key = (kind, tuple(sorted(entry["where"].items())))
            found.setdefault(key, {})[number] = entry
    transitions = [set(table_series(run).pairs()) for run in runs]
    listed, names = [], runs[0].manifest.get("names", NO_NAMES)
    for (kind, where), entries in found.items():
        places = dict(where)
        severities = [
            entries[number]["severity"]
            if number in entries
            else ("none" if _has(run, transitions[number], places) else None)
            for number, run in enumerate(runs)
        ]
        known = sum(severity is not None for severity in severities)
        listed.append(
            {
                "kind": kind,
                "where": places,
                "place": place(places, names),
                "severity": severities,
                "in": len(entries),
                "of": known,
                "verdict": _verdict(len(entries), known),
                "causes": sorted({c["cause"] for e in entries.values() for c in e["causes"]}),
            }
        )
    return sorted(listed, key=lambda one: (-one["in"], one["kind"], sorted(one["where"].items())))


def _has(run: RunFolder, transitions: set[tuple[int, int]], where: dict[str, int]) -> bool:
    """Tell whether a run has this place at all: another run may have other steps."""
    if "from_step" in where:
        return (where["from_step"], where["to_step"]) in transitions
    return where["step"] in run.steps if "step" in where else True


def _verdict(count: int, known: int) -> str:
    if known < 2:
        return "only one run has such a place"
    if count == known:
        return "in all: not an artefact of what differs"
    return "in one: an artefact of what differs, or by chance" if count == 1 else "in some"


def as_json(found: Comparison) -> str:
    """Return the comparison as JSON."""
    return json.dumps(asdict(found), indent=1)


def as_table(found: Comparison, top: int, width: int | None = None) -> str:
    """Return the comparison for a person; a table that is wider than `width` has a paragraph for each row."""
    names = [chr(ord("A") + number % 26) for number in range(len(found.runs))]
    _, *heads = found.runs[0]
    table = [["", "run", *heads]]
    table += [[name, *map(str, run.values())] for name, run in zip(names, found.runs, strict=True)]
    lines = [*_aligned(table, width), ""]
    rows_ = [["", "cosine of dynamics", "rank", "rank of changes", "common cells"]]
    rows_ += [
        [
            f"{names[pair['runs'][0]]}-{names[pair['runs'][1]]}",
            *(_number(pair[key]) for key in ("cosine", "rank", "change_rank")),
            "-" if pair["cells"] is None else f"{pair['cells']:,}",
        ]
        for pair in found.pairs
    ]
    lines += [*_aligned(rows_, width), ""]
    everywhere = sum(one["in"] == one["of"] > 1 for one in found.outliers)
    alone = sum(one["in"] == 1 < one["of"] for one in found.outliers)
    lines.append(
        f"outliers: {len(found.outliers):,} places; in all runs {everywhere:,}, in one alone {alone:,}"
    )
    if found.outliers:
        head = ["what", "where", *names, "in", "causes"]
        lines += ["", *_aligned([head, *(_row(one) for one in found.outliers[:top])], width)]
    return "\n".join(line.rstrip() for line in lines)


def _row(one: dict[str, Any]) -> list[str]:
    severities = ["no such step" if s is None else s for s in one["severity"]]
    causes = ", ".join(one["causes"])
    return [one["kind"], one["place"], *severities, f"{one['in']} of {one['of']}", causes]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _aligned(table: list[list[str]], width: int | None) -> list[str]:
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    if width is not None and sum(widths) + 2 * len(widths) > width:
        (first, *titles), *rows = table
        return [
            line
            for name, *cells in rows
            for line in wrapped(
                ", ".join(
                    f"{title} {cell}" for title, cell in zip(titles, cells, strict=True) if cell
                ),
                width,
                f"  {name}  " if first == "" else f"  {first} {name}, ",
                "      ",
            )
        ]
    return [
        "  " + "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True))
        for row in table
    ]
