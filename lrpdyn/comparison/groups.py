"""Groups of runs: the mean of each column, its spread, and an interval over trainings.

The interval is a bootstrap of t, resampled within strata as rliable does (Agarwal et al. 2021). An
interval from percentiles of resampled means is too narrow for few runs; `tests/benchmarks` measures both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrpdyn.comparison.belonging import why_not
from lrpdyn.comparison.rows import Row, bounds_of, needs_of
from lrpdyn.errors import UsageError
from lrpdyn.files.nearby import did_you_mean
from lrpdyn.files.text import printable

#: Trainings of each stratum that an interval needs: of fewer, it is wider than it is of use.
FEWEST = 5
#: Runs are grouped by one of these columns, or by what a pattern finds in their paths.
BY = ("rule", "seed", "head")
_RESAMPLED = 1999
_OUTSIDE = 0.025
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A column over the runs of a group.

    `runs` have a value, of `trainings` different trainings. `mean` is over trainings, `spread` their
    standard deviation, `low` and `high` the ends of a 95 % interval of the mean; None where there is none,
    and `why` says why.
    """

    group: str
    column: str
    runs: int
    trainings: int
    mean: float | None
    spread: float | None
    low: float | None
    high: float | None
    why: str


def group_names(rows: Sequence[Row], by: str) -> list[str]:
    """Return the group of each run: by rule, seed, head, or the one group of a regular expression.

    Raises
    ------
    UsageError
        It is no such expression, or does not match the path of a run, or a run has no seed.
    """
    if by in BY:
        missing = [row["path"] for row in rows if row[by] is None]
        if missing:
            raise UsageError(
                f"--by {by}: no {by} in the path {missing[0]}; expected seed_3, seed-3 or s3, or give a "
                "pattern with one group: --by 'run-(\\d+)'"
            )
        return [str(row[by]) for row in rows]
    try:
        pattern = re.compile(by)
    except re.error as error:
        raise UsageError(
            f"--by {by}: is no regular expression ({error}); one with a group is such as 'lr-([^/]+)'"
        ) from error
    if pattern.groups != 1:
        raise UsageError(
            f"--by {by or 'nothing'}: expected {', '.join(BY)}{did_you_mean(by, BY)}, or a pattern with one "
            f"group in brackets, such as 'lr-([^/]+)', found {pattern.groups or 'no'} groups"
        )
    found = [pattern.search(row["path"]) for row in rows]
    other = [row["path"] for row, match in zip(rows, found, strict=True)
             if match is None or match[1] is None]  # fmt: skip
    if other:
        raise UsageError(
            f"--by {by}: matches {len(rows) - len(other) or 'none'} of {len(rows)} paths, not {other[0]}; "
            "widen the pattern, or leave out runs"
        )
    return [printable(match[1]) for match in found if match]


def group_means(rows: Sequence[Row], groups: Sequence[str], columns: Sequence[str]) -> list[Mean]:
    """Return the mean of each column that has one, over the runs of each group."""
    found = []
    for name in dict.fromkeys(groups):
        inside = [row for row, group in zip(rows, groups, strict=True) if group == name]
        found += [_mean(name, column, inside) for column in columns if needs_of(column) is not None]
    return found


def _mean(group: str, column: str, rows: Sequence[Row]) -> Mean:
    known = [row for row in rows if row[column] is not None]
    by_training: dict[tuple[str, str], list[Row]] = {}
    for row in known:
        by_training.setdefault((row["training"], row["observations"]), []).append(row)
    counts = {"runs": len(known), "trainings": len(by_training)}
    nothing = Mean(group=group, column=column, **counts, mean=None, spread=None, low=None, high=None,
                   why="no run has it")  # fmt: skip
    if not known:
        return nothing
    why = why_not(known, column)
    if why is not None:
        return Mean(**{**vars(nothing), "why": why})
    # Runs of one training are not independent: they count once. A stratum is what they were asked.
    strata: dict[tuple[str, ...], list[float]] = {}
    for same in by_training.values():
        asked = tuple(sorted({f"{row['rule']} {row['head']} {row['architecture']} "
                              f"{row['observations']}" for row in same}))  # fmt: skip
        strata.setdefault(asked, []).append(float(np.mean([row[column] for row in same])))
    values = [np.array(stratum) for stratum in strata.values()]
    every = np.concatenate(values)
    # A mean of values within bounds is within them, whatever a bootstrap of t extends to.
    ends = interval(values)
    low, high = (None, None) if ends is None else np.clip(ends, *bounds_of(column)).tolist()
    return Mean(
        group=group,
        column=column,
        **counts,
        mean=float(every.mean()),
        spread=float(every.std(ddof=1)) if len(every) > 1 else None,
        low=low,
        high=high,
        why="" if ends is not None else _no_interval(values),
    )


def _no_interval(strata: Sequence[Floats]) -> str:
    fewest = min(map(len, strata))
    if fewest >= FEWEST:
        return "all trainings have the same value"
    each = "" if len(strata) == 1 else f" of each of {len(strata)} settings"
    return f"it needs {FEWEST} trainings{each}"


def interval(strata: Sequence[Floats]) -> tuple[float, float] | None:
    """Return the ends of a 95 % interval of the mean of all values, by a bootstrap of t.

    None where a stratum has fewer than `FEWEST` values, or no value differs from the others of its own.

    Parameters
    ----------
    strata
        Values of each stratum, which are resampled by themselves. The same values give the same interval.

    Notes
    -----
    With m the mean and s its standard error, t = (m* - m) / s* of resampled values; the ends are
    m - s t(97.5 %) and m - s t(2.5 %) (Efron and Tibshirani 1993, chapter 12).
    """
    if min(map(len, strata)) < FEWEST:
        return None
    total = sum(map(len, strata))
    random = np.random.default_rng(0)
    mean, error = _estimate([stratum[None] for stratum in strata], total)
    drawn = [s[random.integers(0, len(s), (_RESAMPLED, len(s)))] for s in strata]
    means, errors = _estimate(drawn, total)
    if not error[0] > 1e-12 * abs(mean[0]):
        return None
    # Values that are all the same say nothing of their error.
    usable = errors > 1e-9 * error[0]
    t = (means[usable] - mean[0]) / errors[usable]
    low, high = np.quantile(t, [_OUTSIDE, 1 - _OUTSIDE])
    return float(mean[0] - high * error[0]), float(mean[0] - low * error[0])


def _estimate(strata: Sequence[Floats], total: int) -> tuple[Floats, Floats]:
    """Return means over all strata and their standard errors, (B,), of values (B, n) each."""
    shares = [stratum.shape[1] / total for stratum in strata]
    mean = sum(w * s.mean(axis=1) for w, s in zip(shares, strata, strict=True))
    variance = sum(
        w**2 * s.var(axis=1, ddof=1) / s.shape[1] for w, s in zip(shares, strata, strict=True)
    )
    return np.asarray(mean), np.sqrt(np.asarray(variance))
