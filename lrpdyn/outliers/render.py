"""The outlier report as a table, JSON, CSV or Markdown. Plain Python: it starts at once."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lrpdyn.errors import RunError

KINDS = ("steps", "samples", "pixels", "cells")
WHERE = ("step", "from_step", "to_step", "sample", "row", "column")
COLUMNS = ("kind", "rank", *WHERE, "value", "fence_mild", "fence_far", "severity", "causes")
Report = Mapping[str, Any]
#: So many of a kind are shown where fewer, or none, lie beyond a fence.
_SHOWN = 3


def read_report(run: Path) -> dict[str, Any]:
    """Return the report that ``compute`` stored in the folder `run`.

    Raises
    ------
    RunError
        There is none, or it is damaged or of a newer schema.
    """
    path = run / "outliers.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(
            f"{run}: holds no finished run of lrpdyn; make one with lrpdyn compute -o {run}"
        ) from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}); compute the run again") from error
    if not isinstance(report, dict) or report.get("schema") != 1:
        raise RunError(f"{path}: not an outlier report of schema 1; install a newer lrpdyn")
    return report


def entries(report: Report, kinds: Sequence[str]) -> list[tuple[str, int, dict[str, Any]]]:
    """Return (kind, rank, entry) of pathologies and of `kinds`, strongest first in each."""
    return [
        (kind, rank, entry)
        for kind in ("pathologies", *kinds)
        for rank, entry in enumerate(report[kind], start=1)
    ]


def found(report: Report, severity: str) -> bool:
    """Tell whether the report holds what ``--fail-on`` looks for."""
    if severity == "pathology":
        return bool(report["pathologies"])
    totals = [report["totals"][kind] for kind in KINDS]
    return any(total["far"] or (severity == "mild" and total["mild"]) for total in totals)


def as_json(report: Report, kinds: Sequence[str], top: int | None) -> str:
    """Return the report as JSON, as `compute` stored it but for what was not asked for."""
    chosen = {
        key: value[:top] if key in (*kinds, "pathologies") else value
        for key, value in report.items()
        if key not in KINDS or key in kinds
    }
    return json.dumps(chosen, indent=1)


def as_csv(report: Report, kinds: Sequence[str], top: int | None) -> str:
    """Return one line for each entry, with the columns of ``outliers.csv``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for kind, rank, entry in entries(report, kinds):
        if top is None or rank <= top:
            writer.writerow(_csv_row(kind, rank, entry))
    return text.getvalue().rstrip("\n")


def _csv_row(kind: str, rank: int, entry: Mapping[str, Any]) -> list[Any]:
    places = [entry["where"].get(name, "") for name in WHERE]
    fences = ["" if entry[key] is None else entry[key] for key in ("fence_mild", "fence_far")]
    value = "" if entry["value"] is None else entry["value"]
    causes = " ".join(cause["cause"] for cause in entry["causes"])
    return [kind, rank, *places, value, *fences, entry["severity"], causes]


def as_table(report: Report, kinds: Sequence[str], top: int | None) -> str:
    """Return the report for a person at a terminal."""
    return _readable(report, kinds, 10 if top is None else top, _aligned, "")


def as_markdown(report: Report, kinds: Sequence[str], top: int | None) -> str:
    """Return the report for a page."""
    return _readable(report, kinds, 10 if top is None else top, _piped, "## ")


RENDERERS: dict[str, Callable[[Report, Sequence[str], int | None], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
}


def _readable(
    report: Report,
    kinds: Sequence[str],
    top: int,
    draw: Callable[[list[list[str]]], list[str]],
    heading: str,
) -> str:
    lines: list[str] = []
    if report["pathologies"]:
        total = report["totals"]["pathologies"]["values"]
        lines.append(
            f"{heading}pathologies: {total} (wrong by their own criterion, no fence needed)"
        )
        rows = [_row(entry) for entry in report["pathologies"][:top]]
        lines += ["", *draw([["where", "value", "beyond", "severity", "why"], *rows]), ""]
    for kind in kinds:
        lines.append(heading + summary(report, kind))
        beyond = sum(entry["severity"] != "none" for entry in report[kind])
        shown = report[kind][: min(top, max(beyond, _SHOWN))]
        if shown:
            table = [["where", "value", "beyond", "severity", "why"], *map(_row, shown)]
            lines += ["", *draw(table)]
        lines.append("")
    return "\n".join(lines).rstrip("\n")


def summary(report: Report, kind: str) -> str:
    """Return one line on a population: its size, its fences, how many lie beyond."""
    total = report["totals"][kind]
    begin = f"{kind}: {total['values']:,} values"
    if total["zeros"]:
        begin += f" ({100 * total['zeros']:.3g} % zero)"
    if total["fence_far"] is None:
        return f"{begin}, too few or too alike for a fence: ranked only"
    return (
        f"{begin}, {total['far']:,} far (above {total['fence_far']:.4g}), "
        f"{total['mild']:,} mild (above {total['fence_mild']:.4g})"
    )


def _row(entry: Mapping[str, Any]) -> list[str]:
    value, fence = entry["value"], entry["fence_far"]
    beyond = f"{value / fence:.2f} x far" if fence and value is not None else ""
    why = "; ".join(_cause(cause) for cause in entry["causes"])
    number = "" if value is None else f"{value:.4g}"
    return [place(entry["where"]), number, beyond, entry["severity"], why]


def place(where: Mapping[str, int]) -> str:
    """Return where something is, in words."""
    words = []
    if "from_step" in where:
        words.append(f"{where['from_step']:,} -> {where['to_step']:,}")
    if "step" in where:
        words.append(f"step {where['step']:,}")
    if "sample" in where:
        words.append(f"sample {where['sample']}")
    if "row" in where:
        words.append(f"row {where['row']}, column {where['column']}")
    elif "column" in where:
        words.append(f"feature {where['column']}")
    return ", ".join(words)


def _cause(cause: Mapping[str, Any]) -> str:
    share = "" if cause["share"] is None else f" {100 * cause['share']:.0f} %"
    return f"{cause['cause']}{share} ({cause['evidence']})"


def _aligned(table: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]) - 1)]
    return [
        "  "
        + "  ".join(
            [*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]]
        ).rstrip()
        for row in table
    ]


def _piped(table: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(row) + " |" for row in table]
    return [lines[0], "|" + " --- |" * len(table[0]), *lines[1:]]
