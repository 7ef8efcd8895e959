"""The outlier table of a page, its phases and its shifts: rows that know where they lead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrpdyn.files.names import Names, called
from lrpdyn.outliers.causes import meaning_of
from lrpdyn.outliers.render import (
    SHOWN_KINDS,
    beyond_or_strongest,
    conditions_of,
    main_causes,
    place,
    shifts_in_words,
    summary,
)
from lrpdyn.outliers.short import labelled

#: Rows of a kind; outliers.csv has all.
MOST_ROWS = 100


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One cause: its name, its meaning, its share in words ("" without one), its evidence."""

    name: str
    meaning: str
    share: str
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A row of the table.

    `step` and `sample` are where it leads, `row` and `column` the pixel that is chosen there; None
    where the finding has none.
    """

    kind: str
    where: str
    severity: str
    value: str = ""
    beyond: str = ""
    causes: tuple[Cause, ...]
    step: int | None
    sample: int | None
    row: int | None = None
    column: int | None = None


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of steps; `sure` is the share of resamples that agree on where it begins."""

    first: int
    last: int
    sure: float | None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The outliers: rows, a line on each population, advice by cause, phases, shifts.

    `short` is the short report, as `lrpdyn.outliers.short.labelled` gives it.
    """

    short: Sequence[tuple[str, Sequence[tuple[int, str]]]]
    rows: tuple[Finding, ...]
    summaries: tuple[str, ...]
    advice: tuple[tuple[str, str, str], ...]
    phases: tuple[Phase, ...]
    why_no_phases: str
    shifts: tuple[str, ...]


def findings_of(report: Mapping[str, Any], steps: Sequence[int], width: int = 0) -> Findings:
    """Return the findings of an outlier report over the `steps` of its run.

    `width` is that of each of the pictures that lie side by side, where observations are sequences.
    """
    names = report.get("names", {})
    rows = [_of_condition(one, names) for one in conditions_of(report)[:MOST_ROWS]]
    for kind in SHOWN_KINDS:
        rows += [
            _of_entry(kind, e, width, names) for e in beyond_or_strongest(report, kind, MOST_ROWS)
        ]
    named = {cause.name for row in rows for cause in row.causes}
    phases = report.get("phases") or {"borders": [], "why": ""}
    known = report.get("advice", {}).items()
    advice = [(name, meaning_of(name), text) for name, text in known if name in named]
    return Findings(
        short=labelled(report) if "first" in report else (),
        rows=tuple(rows),
        summaries=tuple(summary(report, kind) for kind in SHOWN_KINDS),
        advice=tuple(advice),
        phases=_phases(phases["borders"], steps),
        why_no_phases=phases["why"],
        shifts=tuple(shifts_in_words(report)),
    )


def _phases(borders: Sequence[Mapping[str, Any]], steps: Sequence[int]) -> tuple[Phase, ...]:
    if not borders:
        return ()
    firsts = [steps[0], *(border["step"] for border in borders)]
    sure = [None, *(border["sure"] for border in borders)]
    ends = [max(step for step in steps if step < first) for first in firsts[1:]]
    return tuple(
        Phase(first=first, last=last, sure=how_sure)
        for first, last, how_sure in zip(firsts, [*ends, steps[-1]], sure, strict=True)
    )


def _of_condition(condition: Mapping[str, Any], names: Names) -> Finding:
    """Return one row for what is wrong by itself, over steps that follow each other, in many samples."""
    samples, first, last = (condition[name] for name in ("samples", "first_step", "last_step"))
    listed = ", ".join(called(names, "samples", sample, word="") for sample in samples[:6])
    which = listed + (", ..." if len(samples) > 6 else "")
    word = "sample" if len(samples) == 1 else "samples"
    steps = f"step {first:,}" if first == last else f"steps {first:,} to {last:,}"
    name, evidence = condition["cause"], condition["evidence"]
    return Finding(
        kind="pathologies",
        where=steps + (f", {word} {which}" if samples else ""),
        severity="pathology",
        causes=(Cause(name=name, meaning=meaning_of(name), share="", evidence=evidence),),
        step=first,
        sample=samples[0] if samples else None,
    )


def _of_entry(kind: str, entry: Mapping[str, Any], width: int, names: Names) -> Finding:
    where, value, fence = entry["where"], entry["value"], entry["fence_far"]
    severity = entry["severity"]
    if severity != "none" and entry.get("form"):
        severity += f" {entry['form']}"
    return Finding(
        kind=kind,
        where=place(where, names).replace("->", "→"),
        severity=severity,
        value="" if value is None else f"{value:.4g}",
        beyond=f"{value / fence:.2f}" if fence and value is not None else "",
        causes=_causes(entry),
        step=where.get("to_step", where.get("step")),
        sample=where.get("sample"),
        row=where.get("row", where.get("time", 0 if "column" in where else None)),
        column=where["column"] + width * where.get("time", 0)
        if "row" in where
        else where.get("column"),
    )


def _causes(entry: Mapping[str, Any]) -> tuple[Cause, ...]:
    return tuple(
        Cause(
            name=cause["cause"],
            meaning=meaning_of(cause["cause"]),
            share="" if cause["share"] is None else f"{100 * cause['share']:.0f} %",
            evidence=cause["evidence"],
        )
        for cause in main_causes(entry)
    )
