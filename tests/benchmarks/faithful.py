"""The faithfulness of the maps of several rules at one checkpoint, side by side, and intervals of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.diagnostics.faithfulness import areas, measure, random_areas, yardsticks
from lrpdyn.diagnostics.occlusion import patch_masks
from lrpdyn.explain.explanation import chosen_samples, explain
from lrpdyn.explain.loaded import load
from lrpdyn.explain.model import with_plan
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.observations.fills import make_fill
from lrpdyn.pipeline.setup.fixed_targets import fixed_targets, question_of_job
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.pipeline.setup.prepare import listed, prepare

Floats = NDArray[np.float64]
#: Medians of so many draws of the samples; an interval holds 95 % of them.
DRAWS, ENDS = 2000, (0.025, 0.975)


def job_of(checkpoints: Path, observations: Any, **options: Any) -> Job:
    """Return what `lrpdyn.compute` prepares for these options."""
    found = Options(quiet=True, workers=1, **options)
    return prepare(found, listed(checkpoints, found, fewest=1), observations)[0]


@dataclass(frozen=True, kw_only=True)
class Areas:
    """By map the area between the curves of each sample, (m,), and the band of random orders."""

    of: dict[str, Floats]
    band: tuple[float, float]


def areas_at(job: Job, checkpoint: Checkpoint, rules: Sequence[str], fill: str) -> Areas:
    """Return the areas of all observations, in units of the score's range at the checkpoint."""
    question = question_of_job(job, fixed_targets(job, None))
    observations = job.observations.values
    loaded, shown, asked = chosen_samples(
        load(job.model, checkpoint, trust=False), observations, question, range(len(observations))
    )
    # The job is prepared with the modal value.
    filled = make_fill(fill, job.fill.value, observations).of(shown)
    maps: dict[str, Any] = {}
    for rule in rules:
        plain = replace(job.model, composite=parse_composite(rule), plan={})
        own = explain(replace(loaded, model=with_plan(plain, shown, job.bounds)), shown, asked)
        maps[rule] = own.relevance
    fixed = replace(asked, targets=own.target)
    maps |= yardsticks(loaded, shown, fixed, filled)
    curves = measure(loaded, shown, fixed, maps, filled, np.stack(patch_masks(shown.shape)))
    (_, _, random), band = random_areas(curves.score["random"], curves.score_range)
    found = {name: areas(curves.score[name], curves.score_range)[2] for name in maps}
    return Areas(of={**found, "random": random}, band=band)


def interval(values: Floats) -> tuple[float, float]:
    """Return what holds 95 % of the medians of values that are drawn again."""
    chosen = np.random.default_rng(0).integers(0, len(values), (DRAWS, len(values)))
    low, high = np.quantile(np.median(values[chosen], axis=1), ENDS)
    return float(low), float(high)
