"""From the steps that were explained to a finished run: checks, tables, the report, the figure."""

from __future__ import annotations

from typing import Any

from lrpdyn import run as store
from lrpdyn.afterwards import dependence_checks, same_weights, second_look
from lrpdyn.curves import Curve, beside
from lrpdyn.dependence import parse_baseline, random_weights
from lrpdyn.dynamics import Dynamics
from lrpdyn.evidence.random_networks import measure_random
from lrpdyn.explanation import Question, can_load
from lrpdyn.heap import give_back
from lrpdyn.job import Job
from lrpdyn.records import Records
from lrpdyn.results import write_results
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
    """
    model, values, painting = job.model, job.observations.values, job.painting
    networks = parse_baseline(job.baseline)
    fresh = [random_weights(model, seed) for seed in range(networks + 1)] if networks else []
    give_back()
    with times.of("checks"):
        if networks:
            checked = dependence_checks(job, question, records, fresh, workers)
            manifest["checks"]["dependence"] = checked
        manifest["weights"]["same"] = same_weights(job.listing, records)
        regions = None if painting is None else painting.regions
        # Buffers that are not learned stay those of the last finite step, whoever checked it.
        _load_last(job, records)
        of_random = measure_random(model, values, question, fresh[:networks], regions, workers)
        look = second_look(job, question, records, workers)
        agreed = None if painting else look.agreement(job.fill)
    give_back()
    with times.of("tables, report and figure"):
        write_results(
            job.folder, manifest, records, dynamics, job.listing.bad, painting, of_random, agreed,
            look, job.tables,
        )  # fmt: skip


def _load_last(job: Job, records: Records) -> None:
    done = set(records.finite_steps)
    finite = (c for c in reversed(job.listing.checkpoints) if c.step in done)
    last = next(finite, None)
    if last is not None:
        can_load(job.model, last, trust=job.trust)


def with_curve(run: store.Run, curve: Curve | None) -> store.Run:
    """Hold a finished run against a training curve, where one is given."""
    if curve is None:
        return run
    report = {**run.outliers, "curve": beside(run, curve)}
    store.save_json(run.path / "outliers.json", report)
    finish_manifest(run.path, run.manifest)
    return store.open_run(run.path)
