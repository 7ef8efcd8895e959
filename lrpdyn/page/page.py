"""A page as data: all that it says and shows, before any HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrpdyn.files.names import Names
from lrpdyn.files.text import printable
from lrpdyn.observations.regions import Regions
from lrpdyn.page.about import Facts, facts_of
from lrpdyn.page.budget import MOST_PIXELS, Flagged, Kept, choose_samples, flagged, keep
from lrpdyn.page.drawn import DrawnFigure, features_figure, layers_figure, trust_figure
from lrpdyn.page.findings import Findings, findings_of
from lrpdyn.page.pictures import Observations, View, observations_of, views_of
from lrpdyn.page.regions import RegionMasks, regions_of
from lrpdyn.page.series import Series, series_of
from lrpdyn.run.question import unit_of
from lrpdyn.run.reader import RunFolder, as_pictures
from lrpdyn.run.series import table_series
from lrpdyn.run.training_curve import Curve
from lrpdyn.run.trust import trust_lines


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the page of a run holds.

    `name` is what the run is called, `note` what its maker says of it.
    `step_unit` is what steps count, `output_unit` what a unit of the head is called. `steps` are
    all that have relevance, in order; `samples` those shown, by their number in the run; `names` what
    samples, units and others are called; `units` the unit that is explained, (steps, samples), -1 where
    it is not known. `trust` has a verdict and a
    sentence each on whether the maps can be trusted. `trust_figure` is None where nothing of that was
    measured, `features` where observations are not flat, `layers` of runs that have no layers.csv. `notes`
    say what is not shown.
    """

    name: str
    note: str
    rule: str
    question: str
    step_unit: str
    output_unit: str
    steps: tuple[int, ...]
    samples: tuple[int, ...]
    names: Names
    kept: Kept
    flagged: Flagged
    observations: Observations
    regions: Sequence[RegionMasks]
    views: dict[str, View]
    units: NDArray[np.int64]
    series: Sequence[Series]
    trust: Sequence[tuple[str, str]]
    trust_figure: DrawnFigure | None
    features: DrawnFigure | None
    layers: DrawnFigure | None
    findings: Findings
    facts: Facts
    notes: tuple[str, ...]


def page_of(
    run: RunFolder,
    curve: Curve | None = None,
    most_pixels: int = MOST_PIXELS,
    *,
    name: str | None = None,
    note: str = "",
    regions: Regions | None = None,
    quiet: bool = True,
) -> Page:
    """Gather the page of a run.

    The training curve is drawn above the others; `most_pixels` is the room for maps, as
    `lrpdyn.page.budget.keep` takes it. `name` is the folder's by default; `regions` are those of the
    run's observations, whose names are shown at the pointer.

    Raises
    ------
    RunError
        A file of the run cannot be read.
    """
    run = as_pictures(run)
    report, total = run.outliers, len(run.observations)
    samples = choose_samples(total, report)
    observations = observations_of(run, samples)
    marked = flagged(report, samples)
    kept = keep(run.steps, samples, observations.height * observations.width, marked, most_pixels)
    notes = [kept.note] if kept.note else []
    if len(samples) < total:
        notes.append(
            f"{len(samples)} of {total:,} samples are shown, those of the strongest outliers."
        )
    tables = table_series(run)
    if tables.replaced_rows:
        notes.append("The tables are by step: curves are medians over all samples of the run.")
    measured = (run.manifest.get("regions") or {}).get("key", "")
    if regions is not None and measured and not measured.startswith(regions.sha256):
        notes.append("The regions at the pointer are not those that the run measured.")
    return Page(
        name=printable(name) if name else run.path.resolve().name,
        note="\n".join(map(printable, note.splitlines())),
        rule=run.manifest["rule"]["name"],
        question=run.question,
        step_unit=run.manifest["unit"],
        output_unit=unit_of(run.manifest),
        steps=run.steps,
        samples=tuple(samples),
        names=run.manifest.get("names", {}),
        kept=kept,
        flagged=marked,
        observations=observations,
        regions=()
        if regions is None
        else regions_of(regions, run.manifest["observations"]["shape"], samples),
        views=views_of(run, samples, kept, quiet=quiet),
        units=tables.explained_units(samples),
        series=series_of(run, samples, curve),
        trust=trust_lines(run),
        trust_figure=trust_figure(run, curve),
        features=features_figure(run),
        layers=layers_figure(run),
        findings=findings_of(report, run.steps, run.manifest["observations"]["shape"][-1]),
        facts=facts_of(run),
        notes=tuple(notes),
    )
