"""What ``compute`` says at the end, so that nobody reads more into a map than it holds."""

from __future__ import annotations

from typing import Any

from lrpdyn.files.text import terminal_width
from lrpdyn.outliers.render import SHOWN_KINDS, summary
from lrpdyn.run.environments import are_same, difference_in_words, of_results
from lrpdyn.run.question import has_preference, question_in_words
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series
from lrpdyn.run.trust import trust_text


def closing_lines(run: RunFolder) -> list[str]:
    """Return the lines on a finished run: on its maps first, then others by what they are about."""
    return [
        *trust_text(run, terminal_width()),
        "",
        *(f"{word:<9} {text}" for word, text in closing_words(run)),
    ]


def closing_words(run: RunFolder) -> list[tuple[str, str]]:
    """Return what is said of a finished run next to `trust_lines`, each with what it is about."""
    lines = [
        ("question", _question(run)),
        ("assumed", "; ".join(run.manifest["architecture"].get("assumed", ()))),
        ("explained", "; ".join(run.manifest["rule"].get("notes", ()))),
        ("dynamics", _dynamics(run)),
        *_outliers(run.outliers),
        ("batches", _batches(run)),
        ("versions", _versions(run)),
        ("tables", _tables(run)),
        ("warning", _warning(run)),
    ]
    return [(word, text) for word, text in lines if text]


def _outliers(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what to look at first; of a report of an earlier version a line on each population."""
    if "first" not in report:
        return [("outliers", summary(report, kind)) for kind in SHOWN_KINDS]
    found = [one["words"][0] for one in report["first"]]
    more = len(report["then"])
    if not found:
        too_few = report["totals"]["steps"]["method"] == "rank"
        changes = report["totals"]["steps"]["values"]
        found = [
            f"{changes:,} transitions are too few to call one unusual (20 needed)"
            if too_few
            else "nothing unusual"
        ]
    elif more:
        found.append(f"and {more} more: lrpdyn outliers")
    return [("outliers", words) for words in found]


def _question(run: RunFolder) -> str:
    asked = question_in_words(run.manifest, long=True)
    flips, of = table_series(run).preference_changes()
    changes = "the preference" if has_preference(run.manifest) else "which is largest in size"
    return f"{asked}; {changes} changes in {flips:,} of {of:,} transitions"


def _dynamics(run: RunFolder) -> str:
    found = run.manifest["checks"]["dynamics"]
    alike, net = found["alike_mean_relevance"], found["net_share"]
    if alike is None or net is None:
        return "zero everywhere: the relevance did not change"
    return f"{alike:.3f} alike to mean |R|; {100 * net:.0f} % of the path is net change"


def _batches(run: RunFolder) -> str:
    smaller = run.manifest.get("smaller_batches")
    if not smaller:
        return ""
    least, asked = min(one["batch_size"] for one in smaller), run.manifest["batch_size"]
    return (
        f"of down to {least:,} observations, not {asked:,}, from step {smaller[0]['step']:,} on: memory ran "
        f"out; last bits may differ from those of another run, --batch-size {least} makes them its own"
    )


def _versions(run: RunFolder) -> str:
    found, now = run.manifest.get("environments", []), of_results(run.manifest)
    return "" if are_same(found, now) else difference_in_words(found, now)


def _tables(run: RunFolder) -> str:
    rows = table_series(run).replaced_rows
    if not rows:
        return ""
    return (
        f"by step: medians and extremes over {run.shape[0]:,} samples; --tables samples writes a row for "
        f"each, {rows:,} in metrics.csv"
    )


def _warning(run: RunFolder) -> str:
    stock = run.manifest["checks"].get("stock")
    if stock is None:
        return ""
    cosine = "" if stock["cosine"] is None else f", cosine {stock['cosine']:.2f}"
    line = (
        f"{run.manifest['rule']['name']} differs from the exact rule, {stock['exact_rule']}, by "
        f"{stock['largest_difference']:.2g} of the largest relevance{cosine}"
    )
    if stock["largest_difference"] < 1e-3:
        return f"{line}: here both are right"
    why = f": {'; '.join(stock['reasons'])}" if stock["reasons"] else ""
    return f"{line}{why}"
