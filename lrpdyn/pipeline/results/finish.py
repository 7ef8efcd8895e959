"""From the steps that were explained to a finished run: checks, tables, the report, the figure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from lrpdyn.api import Run, open_run
from lrpdyn.dynamics.accumulate import Dynamics
from lrpdyn.dynamics.step_table import Records
from lrpdyn.explain.explanation import Question
from lrpdyn.files.atomic import save_json
from lrpdyn.outliers.report import build_report, find_outliers
from lrpdyn.outliers.trajectory import trajectory
from lrpdyn.pipeline.results.checks import check_maps, same_weights
from lrpdyn.pipeline.results.write import (
    checks_of,
    draw_dynamics,
    gather_facts,
    same_outputs,
    save_maps,
    write_manifest,
    write_report,
    write_tables,
)
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.run.training_curve import Curve, curve_section
from lrpdyn.run.verify import finish_manifest
from lrpdyn.system.memory import give_back
from lrpdyn.system.timing import Times


def finish(
    job: Job,
    question: Question,
    manifest: Mapping[str, Any],
    records: Records,
    dynamics: Dynamics,
    times: Times,
    workers: int = 1,
) -> None:
    """Check what the maps depend on and the outliers, and write the results of a run.

    Checks are shared among `workers` processes. What `lrpdyn.run.stored_maps.Storage.finish` deletes is
    still there.

    Raises
    ------
    CheckpointError
        No step is finite.
    """
    folder, bad = job.folder, job.listing.bad
    regions = None if job.painting is None else job.painting.regions
    give_back()
    with times.of("sums, tables and report"):
        summed = save_maps(folder, job.observations.values.shape, records, dynamics)
        facts = gather_facts(folder, manifest, records, dynamics, bad)
        outliers = find_outliers(facts)
    with times.of("checks and figure"):
        draw = partial(draw_dynamics, folder, manifest, records, bad)
        checked = check_maps(job, question, records, outliers, draw, workers)
        same = same_weights(job.listing, records)
    give_back()
    with times.of("sums, tables and report"):
        tables = write_tables(
            folder, manifest, records, facts, regions, checked.of_random, job.options.tables
        )
        write_report(
            folder,
            {
                **build_report(outliers, checked.evidence),
                **trajectory(records, regions, manifest["rule"]["name"]),
                "agreement": checked.agreement,
            },
        )
        checks = {**manifest["checks"], **checks_of(facts.steps, records), "dynamics": summed.worth}
        checks["outputs"] = {**checks["outputs"], **same_outputs(records)}
        if checked.dependence is not None:
            checks["dependence"] = checked.dependence
        del facts, outliers  # what is known of each transition takes as much as what follows
        give_back()
        found = {
            "tables": tables,
            "checks": checks,
            "weights": {**manifest["weights"], "same": same},
        }
        write_manifest(folder, {**manifest, **found}, records, bad, summed.written)


def with_curve(run: Run, curve: Curve | None) -> Run:
    """Return a finished run compared with a training curve, where one is given."""
    if curve is None:
        return run
    report = {**run.outliers, "curve": curve_section(run, curve)}
    save_json(run.path / "outliers.json", report)
    finish_manifest(run.path, run.manifest)
    return open_run(run.path)
