"""From the steps that were explained to a finished run: checks, tables, the report, the figure."""

from __future__ import annotations

from functools import partial
from typing import Any

from lrpdyn import run as store
from lrpdyn.afterwards import check_maps, same_weights, second_look
from lrpdyn.curves import Curve, beside
from lrpdyn.dynamics import Dynamics
from lrpdyn.explanation import Question
from lrpdyn.heap import give_back
from lrpdyn.job import Job
from lrpdyn.records import Records
from lrpdyn.results import draw_dynamics, save_maps, write_results
from lrpdyn.times import Times
from lrpdyn.verification import finish_manifest


def finish(
    job: Job,
    question: Question,
    manifest: dict[str, Any],
    records: Records,
    dynamics: Dynamics,
    times: Times,
    workers: int = 1,
) -> None:
    """Check what the maps depend on, look at what stands out, and write the results of a run.

    Checks are shared among `workers` processes. What `lrpdyn.storage.Storage.finish` deletes is
    still there.

    Raises
    ------
    CheckpointError
        No step is finite.
    """
    folder, bad = job.folder, job.listing.bad
    give_back()
    with times.of("sums, tables and report"):
        summed = save_maps(folder, job.observations.values.shape, records, dynamics)
    look = second_look(job, question, records, workers)
    with times.of("checks and figure"):
        draw = partial(draw_dynamics, folder, manifest, records, bad)
        checked = check_maps(job, question, records, look, draw, workers)
        if checked.dependence is not None:
            manifest["checks"]["dependence"] = checked.dependence
        manifest["weights"]["same"] = same_weights(job.listing, records)
    give_back()
    with times.of("sums, tables and report"):
        write_results(
            folder, manifest, records, dynamics, summed, bad, job.painting,
            checked.of_random, checked.agreement, look, job.tables,
        )  # fmt: skip


def with_curve(run: store.Run, curve: Curve | None) -> store.Run:
    """Hold a finished run against a training curve, where one is given."""
    if curve is None:
        return run
    report = {**run.outliers, "curve": beside(run, curve)}
    store.save_json(run.path / "outliers.json", report)
    finish_manifest(run.path, run.manifest)
    return store.open_run(run.path)
