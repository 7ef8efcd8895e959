"""The outlier report as a table, JSON, CSV or Markdown. Plain Python: it starts at once."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from lrpdyn.files.names import NO_NAMES, Names, called
from lrpdyn.files.text import printable
from lrpdyn.outliers.causes import meaning_of
from lrpdyn.outliers.short import short_as_list, short_report

KINDS = ("steps", "samples", "pixels", "cells")
SEVERITIES = ("none", "mild", "far")
_SEVERITY_IN_WORDS = {"none": "", "mild": "unusual", "far": "extreme"}
WHERE = ("step", "from_step", "to_step", "sample", "time", "row", "column")
COLUMNS = ("kind", "rank", *WHERE, "value", "fence_mild", "fence_far", "severity", "causes", "tail",
           "form", "evidence", "sample_name", "feature_name")  # fmt: skip
Report = Mapping[str, Any]
_Draw = Callable[[list[list[str]]], list[str]]
#: The kinds of entries that a report for a person shows by itself: pixels are where samples differ most.
SHOWN_KINDS = ("steps", "samples", "cells")
#: So many of a kind are shown where fewer, or none, lie beyond a fence.
_SHOWN = 3
#: Positive values that a fence needs, as `lrpdyn.outliers.fences.fences` has it; that module loads NumPy.
_FEWEST = 20
#: Causes that a row of a table has, and the least share of one of them.
_MOST_CAUSES, _LEAST_SHARE = 4, 0.1
#: The last column of a table goes below the others where it has less room than this.
_NARROWEST = 28


def entries(report: Report, kinds: Sequence[str]) -> list[tuple[str, int, dict[str, Any]]]:
    """Return (kind, rank, entry) of pathologies and of `kinds`, strongest first in each."""
    return [
        (kind, rank, entry)
        for kind in ("pathologies", *kinds)
        for rank, entry in enumerate(report[kind], start=1)
    ]


def contains(report: Report, severity: str) -> bool:
    """Return whether the report has what ``--fail-on`` looks for: mild, far or pathology."""
    if severity == "pathology":
        return bool(report["pathologies"])
    totals = [report["totals"][kind] for kind in SHOWN_KINDS]
    wanted = ("far",) if severity == "far" else ("far", "mild")
    return any(total[name] for total in totals for name in wanted) or any(
        entry["severity"] in wanted for entry in report.get("weights", ())
    )


def as_json(report: Report, kinds: Sequence[str], top: int | None) -> str:
    """Return the report as JSON, as `compute` stored it, less what was not requested."""
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
            writer.writerow(_csv_row(kind, rank, entry, report.get("names", NO_NAMES)))
    return text.getvalue().rstrip("\n")


def _csv_row(kind: str, rank: int, entry: Mapping[str, Any], names: Names) -> list[Any]:
    where = entry["where"]
    places = [where.get(name, "") for name in WHERE]
    numbers = [entry.get(key) for key in ("value", "fence_mild", "fence_far")]
    causes = " ".join(cause["cause"] for cause in entry["causes"])
    evidence = "; ".join(in_words(cause) for cause in entry["causes"])
    feature = None if "row" in where else where.get("column")  # of pictures it is no feature
    called_so = [
        names.get(of, {}).get(str(number))
        for of, number in (("samples", where.get("sample")), ("features", feature))
    ]
    last = [entry.get("tail"), entry.get("form"), evidence, *called_so]
    row = [kind, rank, *places, *numbers, entry["severity"], causes, *last]
    return ["" if cell is None else cell for cell in row]


def as_table(report: Report, kinds: Sequence[str], top: int | None, width: int = 100) -> str:
    """Return all of the report for a person at a terminal that is `width` characters wide."""
    return _readable(report, kinds, top, partial(_aligned, width), "", width)


def as_markdown(report: Report, kinds: Sequence[str], top: int | None) -> str:
    """Return the report for a page."""
    return _readable(report, kinds, top, _piped, "## ", 100)


def as_short(report: Report, width: int) -> str:
    """Return what to look at first; all of the report where an earlier version made it."""
    if "first" not in report:
        return as_table(report, SHOWN_KINDS, None, width)
    return _printable(short_report(report, width))


#: The forms for other programs, which keep everything.
RENDERERS: dict[str, Callable[[Report, Sequence[str], int | None], str]] = {
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
}


def _readable(
    report: Report, kinds: Sequence[str], most: int | None, draw: _Draw, heading: str, width: int
) -> str:
    top = 10 if most is None else most
    lines: list[str] = []
    if "first" in report:
        short = short_as_list(report) if heading else [short_report(report, width)]
        lines += [*([f"{heading}in short", ""] if heading else []), *short, ""]
    lines += _conditions(report, top, draw, heading)
    shown = list(report["pathologies"])
    for kind in kinds:
        lines.append(heading + summary(report, kind))
        chosen = beyond_or_strongest(report, kind, top)
        shown += chosen
        if chosen:
            lines += ["", *draw(_table(chosen, report.get("names", {})))]
        lines += [f"  {words}" for words in shifts_in_words(report)] if kind == "steps" else []
        lines.append("")
    lines += _layers(report, draw, heading)
    lines += context(report, draw, heading)
    shown += [
        {"causes": [{"cause": one["cause"], "share": None}]} for one in report.get("weights", ())
    ]
    text = "\n".join([*lines, *_advice(report, shown, draw, heading)]).rstrip("\n")
    return _printable(text if heading else _wrapped(text, width))


def _wrapped(text: str, width: int) -> str:
    """Return a text whose longer lines go on below, indented."""
    lines = []
    for line in text.split("\n"):
        begin = line[: len(line) - len(line.lstrip())]
        fits = len(line) <= width
        lines += [line] if fits else textwrap.wrap(
            line, width, subsequent_indent=f"{begin}  ", break_on_hyphens=False)  # fmt: skip
    return "\n".join(lines)


def _printable(text: str) -> str:
    """Return a text without control characters, which names of layers may hold."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _layers(report: Report, draw: _Draw, heading: str) -> list[str]:
    """Return the lines on who made the largest changes, as putting layers back showed."""
    rows = [
        [f"{one['from_step']:,} -> {one['to_step']:,}", one["words"]]
        for one in report.get("layers", ())
    ]
    if not rows:
        return []
    return _section(
        f"{heading}layers put back to the step before", draw, ["where", "what goes away"], rows
    )


def _section(
    title: str, draw: _Draw, head: list[str], rows: Sequence[list[str]], *after: str
) -> list[str]:
    """Return the lines of a table under its title."""
    return [title, "", *draw([head, *rows]), *after, ""]


def _conditions(report: Report, top: int, draw: _Draw, heading: str) -> list[str]:
    """Return the lines on what is wrong by itself, one row for a condition that lasts."""
    total = report["totals"]["pathologies"]["values"]
    if not total:
        return []
    found, names = conditions_of(report), report.get("names", {})
    rows = [
        [_when(one), one["cause"], _which(one["samples"], names), one["evidence"]]
        for one in found[:top]
    ]
    begin = f"{heading}pathologies: {total:,} (wrong by their own criterion, no fence needed)"
    more = [f"  and {len(found) - top} more: --top"] if len(found) > top else []
    return _section(begin, draw, ["where", "what", "samples", "why"], rows, *more)


def conditions_of(report: Report) -> list[Mapping[str, Any]]:
    """Return the conditions of a report; of one of an earlier version, one for each step and cause."""
    if "conditions" in report:
        return list(report["conditions"])
    groups: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
    for entry in report["pathologies"]:
        name = entry["causes"][0]["cause"]
        groups.setdefault((entry["where"]["step"], name), []).append(entry)
    return [
        {
            "cause": cause,
            "layer": "",
            "first_step": step,
            "last_step": step,
            "steps": 1,
            "samples": sorted(e["where"]["sample"] for e in members if "sample" in e["where"]),
            "evidence": members[0]["causes"][0]["evidence"].removeprefix(f"step {step:,}: "),
        }
        for (step, cause), members in groups.items()
    ]


def _when(condition: Mapping[str, Any]) -> str:
    first, last = condition["first_step"], condition["last_step"]
    return f"step {first:,}" if first == last else f"steps {first:,} to {last:,}"


def _which(samples: Sequence[int], names: Names) -> str:
    if not samples:
        return "all"
    which = ", ".join(called(names, "samples", sample, word="") for sample in samples[:6])
    return f"{len(samples)}: {which}" + (", ..." if len(samples) > 6 else "")


def beyond_or_strongest(report: Report, kind: str, top: int) -> list[dict[str, Any]]:
    """Return at most `top` entries: those beyond a fence, or the strongest few where fewer are."""
    beyond = sum(entry["severity"] != "none" for entry in report[kind])
    chosen: list[dict[str, Any]] = report[kind][: min(top, max(beyond, _SHOWN))]
    return chosen


def shifts_in_words(report: Report) -> list[str]:
    """Return a sentence on each lasting change of the level of the changes."""
    return [
        f"from step {shift['step']:,} on changes are {shift['after'] / shift['before']:.3g} times as "
        f"large as before ({shift['before']:.3g} -> {shift['after']:.3g}): a shift, not a spike"
        for shift in report.get("shifts", ())
        if shift["before"]
    ]


def _advice(
    report: Report,
    shown: Sequence[Mapping[str, Any]],
    draw: _Draw,
    heading: str,
) -> list[str]:
    """Return what to do next, by cause, for the causes that are shown."""
    named = {cause["cause"] for entry in shown for cause in main_causes(entry)}
    chosen = [
        [name, f"{meaning_of(name)}. {advice}"]
        for name, advice in report.get("advice", {}).items()
        if name in named
    ]
    if not chosen:
        return []
    return _section(f"{heading}what to do next", draw, ["cause", "meaning and advice"], chosen)


def context(report: Report, draw: _Draw, heading: str) -> list[str]:
    """Return the lines on phases, regions, agreement and curve, as far as the report has them."""
    sections = {"phases": _phases, "regions": _regions, "agreement": _agreement, "curve": _curve}
    there = {name: report[name] for name in sections if report.get(name) is not None}
    return [line for name, of in there.items() for line in sections[name](of, draw, heading)]


def _phases(phases: Mapping[str, Any], _: _Draw, heading: str) -> list[str]:
    begin = f"{heading}phases of {phases['of']}: "
    if not phases["borders"]:
        return [f"{begin}none found; {phases['why']}", ""]
    borders = ", ".join(
        f"{border['step']:,} ({100 * border['sure']:.0f} % sure)" for border in phases["borders"]
    )
    share = f"{100 * phases['explained']:.0f} % of the variation"
    return [f"{begin}a new one begins at {borders}; they describe {share}", ""]


def _regions(regions: Mapping[str, Any], draw: _Draw, heading: str) -> list[str]:
    steps, agreed = regions["steps"], regions["agreement"]
    chosen = sorted({0, len(steps) // 2, len(steps) - 1}) if steps else []
    rows = []
    of_regions = zip(regions["names"], regions["share"], regions["effect"], agreed, strict=True)
    for name, share, effect, agreement in of_regions:
        at = [f"{_number(share[i], '.1%')}, {_number(effect[i], '.3g')}" for i in chosen]
        rows.append([name, *at, _number(agreement, "+.2f")])
    over = _number(regions["agreement_over_regions"], "+.2f")
    sets = [
        [" + ".join(one["regions"]), *(_number(one["frequency"][i], ".0%") for i in chosen)]
        for one in regions.get("together", [])[:3]
    ]
    together = _section(
        f"{heading}regions that hold 80 % of sum|R| together, in which share of the observations",
        draw,
        ["regions", *(f"at {steps[i]:,}" for i in chosen)],
        sets,
    )
    return (together if sets else []) + _section(
        f"{heading}regions: share of sum|R|, effect of painting over (means over samples)",
        draw,
        ["region", *(f"at {steps[i]:,}" for i in chosen), "agreement"],
        rows,
        "  agreement: rank correlation of share and effect over the steps",
        f"  rank agreement of shares under {regions['rule']} with effects, over regions, median over "
        f"steps: {over}",
    )


def _agreement(agreement: Mapping[str, Any], _: _Draw, heading: str) -> list[str]:
    parts = [
        f"step {one['step']:,}: {_number(one['rule'], '+.2f')} "
        f"(gradient x input {_number(one['gradient'], '+.2f')})"
        for one in agreement["steps"]
    ]
    title = f"{heading}agreement of {agreement['rule']} with painting patches over"
    return [f"{title}: {'; '.join(parts)}", ""]


def _curve(curve: Mapping[str, Any], draw: _Draw, heading: str) -> list[str]:
    rows = []
    for one in curve["series"]:
        p = "too few steps" if one["p"] is None else f"{one['p']:.2g}"
        rows.append([one["series"], _number(one["rank_correlation"], "+.2f"), p, str(one["steps"])])
    title = (
        f"{heading}compared with {curve['source']} (p: share of circular shifts that do as well)"
    )
    return _section(title, draw, ["series", "rank correlation", "p", "steps"], rows)


def curve_lines(report: Report, width: int) -> list[str]:
    """Return the lines on a training curve that the run was compared with."""
    return _curve(report["curve"], partial(_aligned, width), "")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def summary(report: Report, kind: str) -> str:
    """Return one line on a population: its size, its fences, how many lie beyond."""
    total = report["totals"][kind]
    begin = f"{kind}: {total['values']:,} values"
    if total["zeros"]:
        begin += f" ({100 * total['zeros']:.3g} % zero)"
    far, mild = (f"{total[name]:,}" if total[name] != 0 else "none" for name in ("far", "mild"))
    if total.get("compared_with"):
        around = f"the {total['compared_with']} transitions around it"
        found = f"{far} extreme and {mild} unusual"
        return f"{begin}, {found} compared with {around}"
    if kind in ("steps", "cells") and report["totals"]["steps"]["values"] < _FEWEST:
        return (
            f"{begin}, too few to say which is unusual (20 transitions are needed): listed by size"
        )
    if total["fence_far"] is None:
        if total["values"] * (1 - total["zeros"]) < _FEWEST:
            return f"{begin}, too few to say which is unusual (20 are needed): listed by size"
        return f"{begin}, too similar to say which is unusual: listed by size"
    return (
        f"{begin}, {far} extreme (above {total['fence_far']:.4g}), "
        f"{mild} unusual (above {total['fence_mild']:.4g})"
    )


def _table(chosen: Sequence[Mapping[str, Any]], names: Names) -> list[list[str]]:
    """Return the rows of entries under their titles; columns that say nothing of any of them are omitted."""
    table = [["where", "value", "beyond", "severity", "why"]]
    table += [_row(entry, names) for entry in chosen]
    kept = [i for i, column in enumerate(zip(*table, strict=True)) if any(column[1:])]
    return [[row[i] for i in kept] for row in table]


def _row(entry: Mapping[str, Any], names: Names) -> list[str]:
    value, fence = entry["value"], entry["fence_far"]
    beyond = f"{value / fence:.2f} x extreme" if fence and value is not None else ""
    why = "; ".join(in_words(cause) for cause in main_causes(entry))
    number = "" if value is None else f"{value:.4g}"
    severity = _SEVERITY_IN_WORDS[entry["severity"]]
    if severity and entry.get("form"):
        severity += f" {entry['form']}"
    return [place(entry["where"], names), number, beyond, severity, why]


def main_causes(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the causes of an entry that a table has room for, strongest first."""
    large = [c for c in entry["causes"] if c["share"] is None or c["share"] >= _LEAST_SHARE]
    return large[:_MOST_CAUSES]


def place(where: Mapping[str, int], names: Names = NO_NAMES) -> str:
    """Return where something is, in words.

    >>> place({"from_step": 1000, "to_step": 2000, "sample": 3})
    '1,000 -> 2,000, sample 3'
    """
    words = []
    if "from_step" in where:
        words.append(f"{where['from_step']:,} -> {where['to_step']:,}")
    if "step" in where:
        words.append(f"step {where['step']:,}")
    if "sample" in where:
        words.append(called(names, "samples", where["sample"]))
    if "time" in where:
        words.append(f"time {where['time']}")
    if "row" in where:
        words.append(f"row {where['row']}, column {where['column']}")
    elif "column" in where:
        words.append(called(names, "features", where["column"]))
    return ", ".join(words)


def in_words(cause: Mapping[str, Any]) -> str:
    """Return one cause with its share and its evidence.

    >>> in_words({"cause": "score_growth", "share": 0.25, "evidence": "score 1 -> 2, x 2"})
    'score_growth 25 % (score 1 -> 2, x 2)'
    """
    share = "" if cause["share"] is None else f" {100 * cause['share']:.0f} %"
    return f"{cause['cause']}{share} ({cause['evidence']})"


def _aligned(width: int, table: list[list[str]]) -> list[str]:
    """Return the lines of a table, of which the last column is wrapped to the width."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]) - 1)]
    room = width - 2 - sum(widths) - 2 * len(widths)
    is_narrow = room < min(_NARROWEST, max(len(row[-1]) for row in table))
    lines = []
    for row in table:
        begin = "  " + "".join(f"{cell.ljust(w)}  " for cell, w in zip(row, widths, strict=False))
        below = "      " if is_narrow else " " * len(begin)
        if is_narrow and row[-1]:
            lines += textwrap.wrap(begin, width, subsequent_indent="    ", break_on_hyphens=False)
            begin = below
        wrapped = textwrap.wrap(
            row[-1], max(width, 26), initial_indent=begin, subsequent_indent=below,
            break_on_hyphens=False,
        )  # fmt: skip
        lines += [line.rstrip() for line in wrapped or [begin]]
    return lines


def _piped(table: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(_as_text(cell) for cell in row) + " |" for row in table]
    return [lines[0], "|" + " --- |" * len(table[0]), *lines[1:]]


def _as_text(cell: str) -> str:
    """Return a cell that Markdown shows as it is: names of layers may hold HTML."""
    return " ".join(cell.split()).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
