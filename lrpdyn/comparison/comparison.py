"""Runs side by side: which outliers stand in all of them, and how alike their dynamics are."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import combinations
from string import ascii_uppercase
from typing import Any

import numpy as np

from lrpdyn.comparison.shared_outliers import shared_outliers
from lrpdyn.dynamics.measures import centred_ranks, cosines, pixels, rows
from lrpdyn.errors import UsageError
from lrpdyn.files.text import wrapped
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series

#: Of more runs, dynamics are not compared two by two.
MOST_PAIRED = 8


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs on the same samples.

    `pairs` have for each two of at most eight how alike their dynamics are, and `outliers` every place
    that is flagged in some run, with its severity in each ("none" where it is not, None where a run does
    not have it), those in most runs first.
    """

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
        pairs=tuple(
            {"runs": [a, b], **_alike(runs[a], runs[b])}
            for a, b in combinations(range(len(runs) if len(runs) <= MOST_PAIRED else 0), 2)
        ),
        # Copies, for a run keeps the report that it has read.
        outliers=tuple(shared_outliers(copy(run) for run in runs)),
    )


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


def comparison_lines(
    found: Comparison, count: int, top: int, width: int | None = None
) -> list[str]:
    """Return the comparison of `count` runs for a person; `aligned` says what `width` does."""
    names = letters(count)
    lines: list[str] = []
    table = [["", "cosine of dynamics", "rank", "rank of changes", "common cells"]]
    table += [
        [
            f"{names[pair['runs'][0]]}-{names[pair['runs'][1]]}",
            *(_number(pair[key]) for key in ("cosine", "rank", "change_rank")),
            "-" if pair["cells"] is None else f"{pair['cells']:,}",
        ]
        for pair in found.pairs
    ]
    if found.pairs:
        lines += [*aligned(table, width), ""]
    everywhere = sum(one["in"] == one["of"] > 1 for one in found.outliers)
    alone = sum(one["in"] == 1 < one["of"] for one in found.outliers)
    places = "1 place" if len(found.outliers) == 1 else f"{len(found.outliers):,} places"
    lines.append(f"outliers: {places}; in all runs {everywhere:,}, in one alone {alone:,}")
    if found.outliers:
        shown = names if count <= MOST_PAIRED else []
        head = ["what", "where", *shown, "in", "causes"]
        rows_ = [_row(one, len(shown)) for one in found.outliers[:top]]
        lines += ["", *aligned([head, *rows_], width)]
    return lines


def letters(count: int) -> list[str]:
    """Return short names of runs.

    >>> letters(28)[-3:]
    ['Z', 'AA', 'AB']
    """
    names = list(ascii_uppercase)
    return [*names, *(a + b for a in names for b in names)][:count]


def _row(one: dict[str, Any], count: int) -> list[str]:
    severities = ["no such step" if s is None else s for s in one["severity"][:count]]
    causes = ", ".join(one["causes"])
    return [one["kind"], one["place"], *severities, f"{one['in']} of {one['of']}", causes]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def aligned(table: list[list[str]], width: int | None) -> list[str]:
    """Return a table as lines; one that is wider than `width` as a paragraph for each row."""
    if not table:
        return []
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
        ("  " + "  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True))).rstrip()
        for row in table
    ]
