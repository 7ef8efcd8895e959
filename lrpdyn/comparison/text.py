"""Compared runs as a table for a person, JSON, CSV or Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from lrpdyn.comparison.basin_words import basin_lines
from lrpdyn.comparison.belonging import SETTINGS
from lrpdyn.comparison.compare import Compared
from lrpdyn.comparison.comparison import aligned, comparison_lines, letters
from lrpdyn.files.text import wrapped

#: What a table shows of each run where no columns are requested, if any run has it.
_SHOWN = ("seed", "steps", "score", "reward", "change", "lasted", "faithfulness_first", "faithfulness_last",
          "best_to_worst", "random", "dormant_share", "broken", "flags")  # fmt: skip
_OF_MEANS = ("mean", "spread", "low", "high", "runs", "trainings")


def as_table(found: Compared, top: int, width: int | None = None) -> str:
    """Return compared runs for a person; a table that is wider than `width` has a paragraph for each row."""
    parts = [_settings(found), aligned(_of_runs(found, _shown(found)), width)]
    parts += [aligned(_of_groups(found), width), _notes(found, width)]
    parts += [
        [line for text in basin_lines(one) for line in _in_width(text, width)]
        for one in found.basins
    ]
    if found.maps is not None:
        parts.append(comparison_lines(found.maps, len(found.rows), top, width))
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def as_markdown(found: Compared) -> str:
    """Return the same tables for a page."""
    runs, groups = _of_runs(found, _shown(found)), _of_groups(found)
    notes = [f"- {line}" for line in [*_settings(found), *_notes(found, None)]]
    parts = [_piped(runs), _piped(groups), notes]
    parts += [[f"- {line}" for line in basin_lines(one)] for one in found.basins]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def as_json(found: Compared) -> str:
    """Return compared runs as JSON, numbers as they are."""
    said = {
        "by": found.by,
        "runs": [
            {"group": name, **{column: row[column] for column in found.columns}}
            for name, row in zip(found.names, found.rows, strict=True)
        ],
        "groups": [asdict(mean) for mean in found.means],
        "differences": [asdict(one) for one in found.differences],
        "skipped": found.skipped,
        **({"pairs": [], "outliers": []} if found.maps is None else asdict(found.maps)),
        "not_compared": found.no_maps,
        "basins": [asdict(one) for one in found.basins],
    }
    return json.dumps(said, indent=1)


def as_csv(found: Compared) -> str:
    """Return a line for each run, then lines for each group: mean, spread, low, high, runs and trainings.

    The column `row` says what a line is.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["row", "group", *found.columns])
    for name, row in zip(found.names, found.rows, strict=True):
        rows.writerow(["run", name, *(_cell(row[column]) for column in found.columns)])
    for group in dict.fromkeys(found.names):
        means = {mean.column: mean for mean in found.means if mean.group == group}
        for what in _OF_MEANS:
            values = [getattr(means[c], what) if c in means else None for c in found.columns]
            rows.writerow([what, group, *map(_cell, values)])
    return text.getvalue().rstrip("\n")


#: The forms for other programs and pages.
RENDERERS: dict[str, Callable[[Compared], str]] = {
    "csv": as_csv,
    "json": as_json,
    "markdown": as_markdown,
}


def _shown(found: Compared) -> list[str]:
    chosen = [name for name in found.columns if name not in ("path", "rule")]
    if len(found.columns) == len(found.rows[0]):
        differ = {one.setting for one in found.differences} - {"rule", "step_list", "observations"}
        chosen = [n for n in chosen if n in _SHOWN or n in differ or n.startswith("share_")]
    return [name for name in chosen if any(row[name] is not None for row in found.rows)]


def _settings(found: Compared) -> list[str]:
    """Say what all runs have in common."""
    differ = {one.setting for one in found.differences}
    same = [
        name for name in ("rule", "head", "target", "contrast", "normalize") if name not in differ
    ]
    words = ", ".join(f"{name} {found.rows[0][name]}" for name in same)
    return [f"{len(found.rows):,} runs{f', all of {words}' if words else ''}"]


def _of_runs(found: Compared, columns: Sequence[str]) -> list[list[str]]:
    names = letters(len(found.rows))
    table = [["", "path", "rule", *columns]]
    for name, row in zip(names, found.rows, strict=True):
        table.append([name, row["path"], row["rule"], *(_short(row[column]) for column in columns)])
    return table


def _of_groups(found: Compared) -> list[list[str]]:
    if len(set(found.names)) == len(found.names):
        return []  # each group has one run
    shown = set(_shown(found))
    table = [["group", "of", "mean", "spread", "95 % interval", "runs", "trainings"]]
    for one in found.means:
        if one.column in shown and one.runs:
            ends = "-" if one.low is None else f"{_short(one.low)} to {_short(one.high)}"
            numbers = (one.mean, one.spread)
            table.append([one.group, one.column, *map(_short, numbers), ends, str(one.runs),
                          str(one.trainings)])  # fmt: skip
    return table if len(table) > 1 else []


def _notes(found: Compared, width: int | None) -> list[str]:
    """Say what was not compared, and why; in lines of at most `width` characters."""
    said = []
    for one in found.differences:
        if one.setting != "rule":
            kinds = [_several(runs) for runs in one.runs.values()]
            refused = f": no mean over both of {', '.join(one.columns)}" if one.columns else ""
            said.append(f"Other {SETTINGS[one.setting]}: {_several(kinds, ' | ')}{refused}.")
    missing: dict[str, list[str]] = {}
    for mean in found.means:
        if mean.mean is not None and mean.why:
            missing.setdefault(mean.why, []).append(mean.group)
    for why, groups in missing.items():
        if why.startswith("it needs"):
            said.append(f"No interval of {_several(list(dict.fromkeys(groups)))}: {why}.")
    if found.no_maps:
        said.append(found.no_maps)
    if len(found.columns) < len(found.rows[0]):
        asked = [name for name in found.columns if name != "seed"]
        empty = [name for name in asked if all(row[name] is None for row in found.rows)]
        said += [f"No run has {_several(empty)}."] if empty else []
    return [line for text in said for line in _in_width(text, width)]


def _in_width(text: str, width: int | None) -> list[str]:
    return [text] if width is None else wrapped(text, width, "", "  ")


def _several(names: Sequence[str], between: str = ", ") -> str:
    """Return the first names, and how many more there are.

    >>> _several(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return between.join(names[:3]) + more


def _piped(table: list[list[str]]) -> list[str]:
    if not table:
        return []
    head, *rows = [[cell.replace("|", "\\|") for cell in row] for row in table]
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(row)} |" for row in lines]


def _short(value: Any) -> str:
    """Return a value for a person.

    >>> [_short(value) for value in (None, 65664, 0.12345, 1234.5, "policy")]
    ['-', '65,664', '0.123', '1,234', 'policy']
    """
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _cell(value: Any) -> Any:
    return "" if value is None else value
