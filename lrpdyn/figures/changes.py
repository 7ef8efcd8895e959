"""The transitions of a run as figures need them: samples by transitions, and runs side by side."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.drawings.raster import Mark
from lrpdyn.figures.drawings.side_by_side import MOST_RUNS, Side
from lrpdyn.figures.flags import PATHOLOGY, flags_of
from lrpdyn.run.comparison import compare
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series


@dataclass(frozen=True, kw_only=True)
class Raster:
    """Changes (T, N), the ends of T transitions, N samples, and what is marked."""

    change: Array
    ends: list[tuple[int, int]]
    samples: list[int]
    marks: list[Mark]


def raster_of(run: RunFolder, samples: Sequence[int] | None) -> Raster:
    """Return the changes of some samples, or of all, in their order; tables are by sample.

    Raises
    ------
    UsageError
        The run has no transitions.
    """
    if not len(run.transitions):
        raise UsageError(
            f"--kind raster: {run.path} has {len(run.steps)} finite steps, and no transition; "
            "compute more checkpoints"
        )
    series = table_series(run)
    change = series.changes()
    assert change is not None
    ends = list(zip(*(steps.tolist() for steps in series.ends()), strict=True))
    chosen = list(range(change.shape[1])) if samples is None else list(samples)
    begins = {before: place for place, (before, _) in enumerate(ends)}
    marks = []
    report = {**run.outliers, "steps": []}
    for row, sample in enumerate(chosen):
        flags = flags_of(report, sample)
        marks += [
            Mark(column=begins[step], row=row, kind=kind)
            for step, kind in flags.transitions.items()
            if step in begins
        ]
        places = {**begins, ends[-1][1]: len(ends)}
        marks += [
            Mark(column=places[step], row=row, kind=PATHOLOGY)
            for step in flags.steps
            if step in places
        ]
    return Raster(change=change[:, chosen], ends=ends, samples=chosen, marks=marks)


def sides_of(runs: Sequence[RunFolder], samples: Sequence[int]) -> tuple[list[Side], str]:
    """Return what a comparison draws of each run, and how alike their dynamics are, in words.

    Raises
    ------
    UsageError
        There are fewer than two runs or more than six, or their samples differ.
    """
    if not 2 <= len(runs) <= MOST_RUNS:
        raise UsageError(
            f"--kind comparison: expected 2 to {MOST_RUNS} runs, found {len(runs)}; "
            "lrpdyn plot RUN RUN --kind comparison"
        )
    found = compare(runs)
    letters = string.ascii_uppercase
    parts = [
        f"{'-'.join(letters[number] for number in pair['runs'])} "
        + ("unknown" if pair["cosine"] is None else f"{pair['cosine']:.2f}")
        for pair in found.pairs
    ]
    sides = [
        _side(run, about["rule"], samples) for run, about in zip(runs, found.runs, strict=True)
    ]
    return sides, f"cosine of dynamics, median over samples: {', '.join(parts)}"


def _side(run: RunFolder, rule: str, samples: Sequence[int]) -> Side:
    series = table_series(run)
    from_steps, to_steps = series.ends()
    flagged = flags_of(run.outliers, None).transitions
    return Side(
        name=f"{run.path.name}, rule {rule}; {run.question}",
        dynamics=run.mapped("dynamics")[list(samples)],
        ends=to_steps,
        change=series.median_changes(),
        flagged=np.flatnonzero(np.isin(from_steps, list(flagged))).tolist(),
    )
