"""What ``compute`` says at the end: whether its maps can be trusted, what changed, what to do next."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np

from lrpdyn.files.text import wrapped
from lrpdyn.outliers.render import SHOWN_KINDS, summary
from lrpdyn.run import DEFAULT_RUN
from lrpdyn.run.environments import are_same, difference_in_words, of_results
from lrpdyn.run.question import question_in_words
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series
from lrpdyn.run.trust import trust_text

#: The dynamics map and the map of mean |R| are nearly the same above this cosine.
_SAME_MAP = 0.9
#: Most of the change is that which is more than half of it; a stretch of training this long is no part.
_MOST, _WHOLE = 0.5, 0.5
#: Transitions that a fence needs.
_FEWEST = 20
_CHANGED = "What changed?"
#: The commands that go on from a run, and what they give.
_NEXT = (
    ("report", "a page with a slider over training"),
    ("plot", "figures for a paper"),
    ("outliers", "the largest changes and their causes"),
)


def closing_lines(run: RunFolder, width: int, seconds: float | None = None) -> list[str]:
    """Return what is said of a finished run, in lines of at most `width` characters (40 at least).

    Parameters
    ----------
    seconds
        How long it took; not said where nobody knows.
    """
    return [
        *wrapped(_done(run, seconds), width),
        *wrapped(f"Question: {question_in_words(run.manifest, long=True)}.", width),
        "",
        *trust_text(run, width),
        *(line for text in run_notes(run) for line in wrapped(text, width, "  note  ", " " * 8)),
        "",
        _CHANGED,
        *(line for text in change_lines(run) for line in wrapped(text, width, "  ", "  ")),
        "",
        *_next(run, width),
    ]


def change_lines(run: RunFolder) -> list[str]:
    """Return sentences on when the maps of a run changed, how much of it lasted, and what is unusual."""
    return [*_when(run), *_lasting(run), *_outliers(run.outliers)]


def run_notes(run: RunFolder) -> list[str]:
    """Return sentences on how a run was made, where it was not made as usual."""
    notes = [_batches(run), _versions(run), _tables(run)]
    return [text for text in notes if text]


def _done(run: RunFolder, seconds: float | None) -> str:
    steps, samples = len(run.steps), run.shape[0]
    took = "" if seconds is None else f" in {_duration(seconds)}"
    return (
        f"Explained {_count(steps, 'checkpoint')} x {_count(samples, 'observation')} with "
        f"{run.manifest['rule']['name']}{took}. Saved in {run.path}/"
    )


def _when(run: RunFolder) -> list[str]:
    """Say in which stretch of training most of the change lies, and that the start is part of it."""
    series = table_series(run)
    changes, (starts, ends) = series.median_changes(), series.ends()
    total = changes.sum()
    if not len(changes) or not total > 0:
        return ["Nothing: the maps are the same at every step."]
    sums = np.concatenate([[0.0], np.cumsum(changes)])
    # The shortest stretch of transitions that holds most of the change.
    stretches = [
        (int(ends[last] - starts[first]), first, last)
        for first in range(len(changes))
        for last in [int(np.searchsorted(sums, sums[first] + _MOST * total, side="right")) - 1]
        if last < len(changes)
    ]
    whole = int(ends[-1] - starts[0])
    length, first, last = min(stretches, default=(whole, 0, len(changes) - 1))
    if length > _WHOLE * whole or len(changes) == 1:
        return [f"The change is spread over training ({starts[0]:,} to {ends[-1]:,})."]
    share = (sums[last + 1] - sums[first]) / total
    return [
        f"Most from step {starts[first]:,} to {ends[last]:,}: {100 * share:.0f} % of all change."
    ]


def _lasting(run: RunFolder) -> list[str]:
    found = run.manifest["checks"]["dynamics"]
    alike, net = found["alike_mean_relevance"], found["net_share"]
    said = []
    if net is not None:
        said.append(f"{100 * net:.0f} % of all change lasted; the rest was undone on the way.")
    if alike is not None and alike > _SAME_MAP:
        said.append(
            f"The dynamics map looks like the mean map (similarity {alike:.2f}; 1 = identical): it shows "
            "where relevance is more than where it changed."
        )
    return said


def _outliers(report: dict[str, Any]) -> list[str]:
    """Return what to look at first; of a report of an earlier version a line on each population."""
    if "first" not in report:
        return [f"Outliers: {summary(report, kind)}." for kind in SHOWN_KINDS]
    found = [f"LOOK FIRST: {one['words'][0]}" for one in report["first"]]
    more = len(report["then"])
    if not found:
        few = report["totals"]["steps"]["method"] == "rank"
        changes = report["totals"]["steps"]["values"]
        return [
            f"Nothing extreme. {_count(changes, 'transition')} {'is' if changes == 1 else 'are'} too few to "
            f"call one unusual ({_FEWEST} needed)."
            if few and changes < _FEWEST
            else "Nothing unusual."
        ]
    if more:
        found.append(f"And {more} more: lrpdyn outliers")
    return found


def _next(run: RunFolder, width: int) -> list[str]:
    """Return the commands that go on from a run, with what they give where there is room for it."""
    where = "" if str(run.path) == DEFAULT_RUN else f" {shlex.quote(str(run.path))}"
    commands = [f"lrpdyn {command}{where}" for command, _ in _NEXT]
    column = max(map(len, commands))
    lines = []
    for place, (command, (_, gives)) in enumerate(zip(commands, _NEXT, strict=True)):
        begin = "Next   " if place == 0 else " " * 7
        line = f"{begin}{command:<{column}}   {gives}"
        lines.append(line if len(line) <= width else f"{begin}{command}")
    return lines


def _batches(run: RunFolder) -> str:
    smaller = run.manifest.get("smaller_batches")
    if not smaller:
        return ""
    least, requested = min(one["batch_size"] for one in smaller), run.manifest["batch_size"]
    return (
        f"Memory ran out at step {smaller[0]['step']:,}: batches are of down to {least:,} observations, not "
        f"{requested:,}, from there on. Last bits may differ from those of another run; with --batch-size "
        f"{least} they do not."
    )


def _versions(run: RunFolder) -> str:
    found, now = run.manifest.get("environments", []), of_results(run.manifest)
    return "" if are_same(found, now) else f"Versions: {difference_in_words(found, now)}."


def _tables(run: RunFolder) -> str:
    rows = table_series(run).replaced_rows
    if not rows:
        return ""
    return (
        f"Tables have a row for each step: medians and extremes over {run.shape[0]:,} samples. With "
        f"--tables samples they have one for each sample, {rows:,} in metrics.csv."
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    """Return a duration for people: seconds, minutes or hours.

    >>> _duration(0.42), _duration(11.4), _duration(185), _duration(7500)
    ('0.4 s', '11 s', '3 min 5 s', '2 h 5 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
