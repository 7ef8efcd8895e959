"""The short report of a run: what to look at first, what then. Plain Python: it starts at once."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lrpdyn.outliers.causes import with_share

Report = Mapping[str, Any]
#: A sentence and its level: 0, or 1 for what explains the one before.
Said = tuple[int, str]
#: The width of the labels on the left, and of what is indented below a headline.
_LABEL, _INDENT = 12, 2
#: Causes of the largest change that are said have this share of it.
_LARGE_SHARE = 0.25
#: Findings after the first that have a line.
_MOST_LINES = 8
#: Transitions that a fence needs, as `lrpdyn.outliers.fences.in_time` has it; that module loads NumPy.
_FEWEST = 20


def short_report(report: Report, width: int) -> str:
    """Return the report in a few lines of at most `width` characters."""
    return "\n".join(
        line for label, said in labelled(report) for line in _wrapped(label.upper(), said, width)
    )


def short_as_list(report: Report) -> list[str]:
    """Return the short report as the lines of a list in Markdown."""
    lines = []
    for label, said in labelled(report):
        lines.append(f"- **{label}**")
        lines += [f"{'  ' * (level + 1)}- {text}" for level, text in said]
    return lines


def labelled(report: Report) -> list[tuple[str, list[Said]]]:
    """Return the parts of the short report: a label, and sentences with their level, 0 or 1."""
    parts = {
        "Look first": _first(report),
        "Then": _then(report),
        "Start": _start(report),
        "Not seen": _not_seen(report),
    }
    return [(label, said) for label, said in parts.items() if said]


def _wrapped(label: str, said: Sequence[Said], width: int) -> list[str]:
    """Return the lines of sentences, with a label before the first of them."""
    lines: list[str] = []
    for level, text in said:
        begin = " " * (_LABEL + _INDENT * level)
        lines += textwrap.wrap(
            text, max(width, _LABEL + 28), initial_indent=begin, subsequent_indent=begin,
            break_on_hyphens=False,
        )  # fmt: skip
    lines[0] = label.ljust(_LABEL) + lines[0][_LABEL:]
    return lines


def _first(report: Report) -> list[Said]:
    found: list[Said] = []
    for one in report["first"]:
        headline, *rest = one["words"]
        found += [(0, headline), *((1, text) for text in rest)]
    if found:
        return found
    changes = report["totals"]["steps"]["values"]
    if report["totals"]["steps"]["method"] == "rank":
        verdict = f"nothing can be called unusual: {_count(changes, 'transition')} are too few "
        verdict += f"({_FEWEST} needed)." if changes < _FEWEST else "of another size than zero."
    else:
        verdict = "nothing: no checkpoint and no transition is unusual."
    return [(0, verdict), *((0, text) for text in _largest(report))]


def _largest(report: Report) -> Iterator[str]:
    """Yield the largest change, and what made it."""
    entry = max(report["steps"], key=lambda entry: entry["value"], default=None)
    if entry is None or not entry["value"]:
        return
    ends = (entry["where"]["from_step"], entry["where"]["to_step"])
    yield f"The largest change is {ends[0]:,} -> {ends[1]:,} ({entry['value']:.3g})."
    causes = [cause for cause in entry["causes"] if (cause["share"] or 0) >= _LARGE_SHARE]
    if causes:
        said = (with_share(one["cause"], one["share"]) for one in causes[:2])
        yield f"What happened: {'; '.join(said)}."
    for one in report["layers"]:
        if (one["from_step"], one["to_step"]) == ends and one["layers"]:
            yield f"Who made it: {one['words']}."


def _then(report: Report) -> list[Said]:
    found = [(0, one["words"][0]) for one in report["then"][:_MOST_LINES]]
    more = len(report["then"]) - _MOST_LINES
    found += [(0, f"and {more} more: --details")] if more > 0 else []
    totals = report["totals"]
    steps, samples = totals["steps"], totals["samples"]
    calm = []
    for total, what in ((steps, "transition"), (samples, "observation")):
        inside = total["values"] - total["far"] - total["mild"]
        if total["method"] != "rank":
            calm.append(_count(inside, what))
    if report["first"] and steps["method"] == "rank":
        found.append(
            (
                0,
                f"{_count(steps['values'], 'transition')}: too few to call one unusual ({_FEWEST} needed).",
            )
        )
    if calm:
        begin = "" if found else "nothing else: " if report["first"] else "nothing: "
        found.append((0, f"{begin}{' and '.join(calm)} within their fences."))
    return found


def _start(report: Report) -> list[Said]:
    start = report["start"]
    if start is None:
        return []
    text = f"{start['from_step']:,} -> {start['to_step']:,}: changes up to {start['largest']:.2g}"
    text += f" (later {start['later']:.2g})"
    if start["weights"] is not None:
        least, most = (f"{times:.2g}" for times in start["weights"])
        text += f", weights moved {least}-{most} times as far as later"
    return [(0, f"{text}. Learning sets in: ranked, not reported.")]


def _not_seen(report: Report) -> list[Said]:
    least, false = report["least"], report["expected_false"]
    if least is None:
        return []
    by_mistake = false["steps"] + false["weights"]
    needed = f"{least['mild']:.2g} times (extreme: {least['far']:.2g} times) the usual change"
    return [
        (0, f"a step needs {needed} to be reported here."),
        (
            0,
            f"Of runs in which nothing happened, {100 * by_mistake:.0f} % have a step reported by mistake.",
        ),
    ]


def _count(number: int, what: str) -> str:
    """Return a number of things in words.

    >>> _count(1, "transition"), _count(1200, "transition")
    ('1 transition', '1,200 transitions')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"
