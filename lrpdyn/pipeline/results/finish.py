"""From the steps that were explained to a finished run: checks, maps, tables, the report, the figure."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.api import Run, open_run
from lrpdyn.checkpoints.model import LeftOut
from lrpdyn.diagnostics.same_outputs import share_of
from lrpdyn.dynamics.accumulate import Dynamics
from lrpdyn.dynamics.columns import names_of
from lrpdyn.dynamics.measures import of_pixels
from lrpdyn.dynamics.one_step import OfRandom
from lrpdyn.dynamics.step_table import Records
from lrpdyn.dynamics.totals import summary
from lrpdyn.errors import CheckpointError
from lrpdyn.explain.explanation import Question
from lrpdyn.figures.kinds import draw
from lrpdyn.figures.regions_picture import draw_regions
from lrpdyn.files.atomic import blocks_of, save_json, save_table, save_together, whole_file
from lrpdyn.files.names import NO_NAMES
from lrpdyn.files.streamed import opened
from lrpdyn.observations.regions import Regions, write_masks
from lrpdyn.outliers.causes import WEAK_SUPPORT
from lrpdyn.outliers.criteria import vanished
from lrpdyn.outliers.facts import RunFacts, Steps
from lrpdyn.outliers.render import KINDS, as_csv
from lrpdyn.outliers.report import build_report, find_outliers
from lrpdyn.outliers.trajectory import trajectory
from lrpdyn.pipeline.results.checks import check_maps, same_weights
from lrpdyn.pipeline.results.faithful_steps import Faithfulness
from lrpdyn.pipeline.results.feature_rows import save_features
from lrpdyn.pipeline.results.layer_rows import save_layers
from lrpdyn.pipeline.results.run_facts import prediction_changes, run_facts, with_faithfulness
from lrpdyn.pipeline.results.table_rows import (
    cosines_to_last,
    metric_columns,
    metric_values,
    transition_values,
)
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.run.environments import are_same, of_results, stretches
from lrpdyn.run.layout import FAITHFULNESS, FOUND_REGIONS, MAPS, PIXEL_MAPS
from lrpdyn.run.manifest import read_manifest, save_manifest
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.tables import save_values, tables_of
from lrpdyn.run.training_curve import Curve, curve_section
from lrpdyn.run.verify import finish_manifest, replace_result
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
        written, worth = save_maps(folder, job.observations.values.shape, records, dynamics)
        gaps = [entry["step"] for entry in records.bad]
        gaps += [entry.step for entry in bad if entry.step is not None]
        relative = opened(folder / "relative_dynamics.npy")
        facts = run_facts(records, manifest, dynamics, relative, gaps)
        outliers = find_outliers(facts)

    def draw_dynamics() -> None:  # the manifest on the disk is yet that of the start
        shown = {**manifest, **_checkpoints(records, bad)}
        draw([RunFolder(path=folder, manifest=shown)], "dynamics")
        if regions is not None and manifest["regions"].get("found"):
            masks, picture = (folder / name for name in FOUND_REGIONS)
            write_masks(masks, regions)
            draw_regions(job.observations.values, regions, picture)

    with times.of("checks and figure"):
        checked = check_maps(job, question, records, outliers, draw_dynamics, workers)
        same = same_weights(job.listing, records)
    give_back()
    with times.of("sums, tables and report"):
        faithful = checked.faithfulness
        tables = write_tables(
            folder,
            manifest,
            records,
            facts,
            regions,
            checked.of_random,
            faithful,
            cosines_to_last(folder, job.storage, records.finite_steps),
            job.options.tables,
        )
        save_layers(folder, records)
        save_features(folder, records, manifest.get("names", NO_NAMES))
        of_faithful = None if faithful is None else faithful.as_check()
        if of_faithful is not None:
            outliers = replace(outliers, facts=with_faithfulness(facts, of_faithful["steps"]))
        report = {
            **build_report(outliers, checked.evidence, checked.layers),
            **trajectory(records, regions, manifest["rule"]["name"]),
            "agreement": checked.agreement,
        }
        save_json(folder / "outliers.json", report)
        with whole_file(folder / "outliers.csv") as file:
            file.write(as_csv(report, KINDS, None) + "\n")
        checks = {**manifest["checks"], **checks_of(facts.steps, records), "dynamics": worth}
        checks["outputs"] = {**checks["outputs"], **same_outputs(records)}
        if checked.dependence is not None:
            checks["dependence"] = checked.dependence
        checks["faithfulness"] = of_faithful
        del (
            facts,
            outliers,
            report,
        )  # what is known of each transition takes as much as what follows
        give_back()
        ended = {"finished": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        found = {
            **what_explained(manifest, records),
            "tables": tables,
            "interventions": job.options.interventions,
            "faithfulness": job.options.asked_faithfulness,
            "faithfulness_samples": job.options.faithfulness_samples,
            "checks": checks,
            "weights": {**manifest["weights"], "same": same},
            "environment": {**manifest["environment"], **ended},
            **_checkpoints(records, bad),
        }
        finish_manifest(folder, {**manifest, **found}, written)


def interim_report(
    job: Job, manifest: Mapping[str, Any], records: Records, dynamics: Dynamics
) -> dict[str, Any]:
    """Return the outlier report of the steps so far, without what only checks of the network tell."""
    save_maps(job.folder, job.observations.values.shape, records, dynamics)
    relative = opened(job.folder / "relative_dynamics.npy")
    outliers = find_outliers(run_facts(records, manifest, dynamics, relative, ()))
    return build_report(outliers, {})


def what_explained(manifest: Mapping[str, Any], records: Records) -> dict[str, Any]:
    """Return what the manifest says of versions and devices, by stretches of steps.

    ``same_bytes`` is whether the promise holds: all of them, and the results, were made with the
    same, and no batch had to shrink.
    """
    found = stretches(records.environments())
    same = are_same(found, of_results(manifest)) and not (records["batch_size"] >= 0).any()
    return {"environments": found, "same_bytes": bool(same)}


def save_maps(
    folder: Path, shape: tuple[int, ...], records: Records, dynamics: Dynamics
) -> tuple[dict[Path, str], dict[str, float | None]]:
    """Write the maps over all steps, of observations of `shape`.

    Returns the SHA-256 of each file, and how the maps compare with each other
    (`lrpdyn.dynamics.totals.summary`).

    Raises
    ------
    CheckpointError
        No step is finite: there is nothing to write about.
    """
    if not records["finite"].any():
        broken = records.broken[:1]
        where = f": NaN or infinity in {', '.join(broken[0])}" if broken else ""
        raise CheckpointError(f"none of {len(records)} checkpoints is finite{where}")
    files = {name: folder / f"{name}.npy" for name in MAPS}
    products = []

    def side_by_side() -> Iterator[dict[Path, NDArray[np.float32]]]:
        for maps, of_piece in dynamics.maps(MAPS):
            products.append(of_piece)
            yield {file: maps[name] for name, file in files.items()}

    shapes = {
        file: of_pixels(shape) if name in PIXEL_MAPS else shape for name, file in files.items()
    }
    written = save_together(shapes, np.float32, side_by_side())
    return written, summary(np.sum(products, axis=0))


def write_tables(
    folder: Path,
    manifest: Mapping[str, Any],
    records: Records,
    facts: RunFacts,
    regions: Regions | None,
    of_random: OfRandom | None,
    faithful: Faithfulness | None,
    to_last: Mapping[int, NDArray[np.float64]],
    tables: str | None,
) -> str:
    """Write metrics.csv, transitions.csv and faithfulness.csv.

    Returns which of `TABLES` the first two are.
    """
    shape = tuple(manifest["observations"]["shape"])
    tables = tables_of(tables, shape[0], records.explained)
    areas = None if regions is None else regions.areas(shape)
    of_rule = {} if faithful is None else faithful.of_rule(shape[0])
    names = manifest.get("names", NO_NAMES)
    of_steps = metric_values(records, regions, areas, of_random, of_rule, to_last, names)
    save_values(folder / "metrics.csv", tables, metric_columns(regions), of_steps)
    moved = transition_values(records, facts, prediction_changes(records, manifest, facts))
    save_values(folder / "transitions.csv", tables, names_of("transition"), moved)
    rows = () if faithful is None else faithful.rows()
    save_table(folder / FAITHFULNESS, names_of("map"), blocks_of(rows))
    return tables


def _checkpoints(records: Records, bad: Sequence[LeftOut]) -> dict[str, Any]:
    """Return what the manifest says of what became of each checkpoint."""
    skipped = [{"step": entry.step, "path": str(entry.path), "format": None, "digest": None,
                "sha256": None, "status": "bad", "reason": entry.reason} for entry in bad]  # fmt: skip
    entries = heapq.merge(records.entries(), sorted(skipped, key=_by_step), key=_by_step)
    found = {"checkpoints": [{"index": index, **entry} for index, entry in enumerate(entries)]}
    smaller = np.flatnonzero(records["batch_size"] >= 0)
    if len(smaller):
        steps, sizes = records["step"][smaller].tolist(), records["batch_size"][smaller].tolist()
        found["smaller_batches"] = [
            {"step": step, "batch_size": size} for step, size in zip(steps, sizes, strict=True)
        ]
    return found


def _by_step(entry: dict[str, Any]) -> tuple[float, str]:
    return (float("inf") if entry["step"] is None else entry["step"], entry["path"])


def checks_of(steps: Steps, records: Records) -> dict[str, Any]:
    """Return what is said of the whole run: conservation, negative scores, vanished relevance."""
    usable = steps.finite[:, None] & (steps.score != 0) & np.isfinite(steps.score)
    score = steps.score[usable]
    support = records["support"]
    return {
        "relevance_sum_to_score": _spread(steps.relevance_sum[usable] / score),
        "relevance_l1_to_score": _spread(steps.relevance_l1[usable] / np.abs(score)),
        "maps": int(steps.finite.sum()) * steps.score.shape[1],
        "negative_scores": int((score < 0).sum()),
        "weak_support": int(((support < WEAK_SUPPORT * np.abs(steps.score)) & usable).sum()),
        "vanished": int((vanished(steps.score, steps.relevance_l1) & steps.finite[:, None]).sum()),
    }


def same_outputs(records: Records) -> dict[str, Any]:
    """Return where outputs as loaded and as explained differ most, as a share of the largest output.

    Nothing where no step was compared, as in a run of before every step was.
    """
    difference, largest = records["largest_difference"], records["largest_output"]
    compared = np.flatnonzero(np.isfinite(difference))
    if len(compared) == 0:
        return {}
    row = max(compared, key=lambda row: share_of(float(difference[row]), float(largest[row])))
    return {
        "largest_difference": float(difference[row]),
        "largest_output": float(largest[row]),
        "step": int(records["step"][row]),
    }


def _spread(values: NDArray[np.float64]) -> dict[str, float] | None:
    if len(values) == 0:
        return None
    least, median, most = (float(q) for q in np.quantile(values, [0, 0.5, 1]))
    return {"least": least, "median": median, "most": most}


def with_expected(run: Run, expected: Mapping[str, Any] | None) -> Run:
    """Return a finished run whose manifest has what was compared with recorded outputs just now."""
    checks = run.manifest["checks"]
    if expected is None or checks.get("expected") == expected:
        return run
    checks = {**checks, "expected": dict(expected)}
    manifest = {**run.manifest, "checks": checks}
    save_manifest(run.path, manifest)
    return Run(run.path, manifest)


def with_curve(run: Run, curve: Curve | None) -> Run:
    """Return a finished run compared with a training curve, where one is given."""
    if curve is None:
        return run
    report = {**run.outliers, "curve": curve_section(run, curve)}
    save_json(run.path / "outliers.json", report)
    replace_result(run.path, read_manifest(run.path), "outliers.json")
    return open_run(run.path)
