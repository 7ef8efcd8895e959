"""The page of several runs: one of them or two at the same progress of training, with a swipe between."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lrpdyn.comparison.belonging import need_maps_of_the_same
from lrpdyn.comparison.groups import group_names
from lrpdyn.comparison.paired_steps import paired_steps
from lrpdyn.comparison.rows import Row, read_rows
from lrpdyn.errors import UsageError
from lrpdyn.page.budget import MOST_PIXELS, Kept, choose_samples
from lrpdyn.page.pictures import Observations, View, observations_of, views_of
from lrpdyn.run.reader import RunFolder, as_pictures

#: A swipe over training needs so many points.
FEWEST_POINTS = 2


@dataclass(frozen=True, kw_only=True)
class OneRun:
    """A run of the page: its path, group and rule, its steps and their unit, and its maps at them."""

    path: str
    group: str
    rule: str
    unit: str
    steps: tuple[int, ...]
    view: View


@dataclass(frozen=True, kw_only=True)
class Several:
    """What the page of several runs holds: `groups` of runs by name, and the samples that are shown."""

    by: str
    paired: str
    runs: Sequence[OneRun]
    samples: tuple[int, ...]
    observations: Observations
    notes: tuple[str, ...]

    @property
    def second(self) -> int:
        """The place of the run at the right at first: the first of another group, if there is one."""
        others = [n for n, run in enumerate(self.runs) if run.group != self.runs[0].group]
        return others[0] if others else 1

    @property
    def groups(self) -> dict[str, list[tuple[int, OneRun]]]:
        """The runs of each group, with their places on the page."""
        found: dict[str, list[tuple[int, OneRun]]] = {}
        for place, run in enumerate(self.runs):
            found.setdefault(run.group, []).append((place, run))
        return found


def several_of(
    given: Sequence[RunFolder],
    by: str = "rule",
    most_pixels: int = MOST_PIXELS,
    *,
    quiet: bool = True,
) -> Several:
    """Gather the page of several runs.

    Raises
    ------
    UsageError
        Their observations differ, they cannot be grouped so, or there are too many.
    RunError
        A file of a run cannot be read.
    """
    runs = [as_pictures(run) for run in given]
    rows = read_rows([run.path for run in runs])
    need_maps_of_the_same(runs, rows, "report")
    groups = group_names(rows, by)
    total, report = len(runs[0].observations), runs[0].outliers
    samples = choose_samples(total, report)
    paired = paired_steps([run.steps for run in runs])
    each = len(runs) * math.prod(
        runs[0].shape[-2:] if len(runs[0].shape) > 2 else runs[0].shape[1:]
    )
    every, points = len(paired.shares), len(paired.shares)
    samples = samples[: max(1, most_pixels // (each * points))]
    points = min(points, most_pixels // (each * len(samples)))
    if points < min(FEWEST_POINTS, every):
        raise UsageError(
            f"report: {len(runs):,} runs have no room on one page; give at most "
            f"{most_pixels * len(runs) // (each * FEWEST_POINTS):,}"
        )
    chosen = np.unique(np.linspace(0, every - 1, points).round().astype(int))
    notes = [f"{len(samples)} of {total:,} samples are shown."] if len(samples) < total else []
    if len(chosen) < max(len(run.steps) for run in runs):
        notes.append(f"{len(chosen)} points of training are shown.")
    if paired.most_apart:
        notes.append(
            f"Steps of a point are at most {100 * paired.most_apart:.0f} % of training apart."
        )
    paths = [os.path.abspath(row["path"]) for row in rows]
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    # What all paths begin with would fill the lists and tell no run from another.
    rows = [
        {**row, "path": os.path.relpath(path, folder)}
        for row, path in zip(rows, paths, strict=True)
    ]
    found = [
        _one(run, row, group, paired.steps[place, chosen].tolist(), samples, quiet=quiet)
        for place, (run, row, group) in enumerate(zip(runs, rows, groups, strict=True))
    ]
    if any(run.view.signed for run in found):
        # Both sides of a swipe have the same colours, though one rule may give one sign alone.
        found = [replace(run, view=replace(run.view, signed=True)) for run in found]
    return Several(
        by=by,
        paired=paired.how,
        runs=found,
        samples=tuple(samples),
        observations=observations_of(runs[0], samples),
        notes=tuple(notes),
    )


def _one(
    run: RunFolder, row: Row, group: str, steps: list[int], samples: Sequence[int], *, quiet: bool
) -> OneRun:
    kept = Kept(steps=tuple(steps), samples=(tuple(samples),) * len(steps), note="")
    view = views_of(run, samples, kept, quiet=quiet)["relevance"]
    return OneRun(
        path=row["path"],
        group=group,
        rule=row["rule"],
        unit=row["unit"],
        steps=kept.steps,
        view=view,
    )
