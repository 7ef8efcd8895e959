"""The maps over all steps, the tables, the report and the manifest, as they are written."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lrpdyn.checkpoints.model import LeftOut
from lrpdyn.errors import CheckpointError
from lrpdyn.files.streamed import opened
from lrpdyn.outliers.facts import RunFacts
from lrpdyn.pipeline.results.finish import checks_of, finish, save_maps, write_tables
from lrpdyn.pipeline.results.run_facts import run_facts
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.steps import Steps
from lrpdyn.system.timing import Times
from tests.pipeline.test_compute import Vectors
from tests.pipeline.test_merge import spoil
from tests.pipeline.test_steps import explained, stored

STEPS = (2, 4, 10, 20, 30)


def facts_of(job: Job, manifest: dict[str, object], steps: Steps) -> RunFacts:
    """Return what is known of a run, whose maps are written for it."""
    save_maps(job.folder, job.observations.values.shape, steps.records, steps.dynamics)
    relative = opened(job.folder / "relative_dynamics.npy")
    return run_facts(steps.records, manifest, steps.dynamics, relative, ())


def test_maps_over_all_steps_are_those_that_numpy_sums(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    job, *_, steps = explained(mlp_folder, vectors, tmp_path)
    written, _ = save_maps(job.folder, vectors.shape, steps.records, steps.dynamics)
    maps = stored(job.folder, STEPS)
    for name, expected in {
        "dynamics": np.abs(np.diff(maps, axis=0)).sum(0),
        "net_change": np.abs(maps[-1] - maps[0]),
        "relative_dynamics": np.abs(np.diff(maps, axis=0)).sum(0) / np.abs(maps).sum(0),
    }.items():
        found = np.load(tmp_path / f"{name}.npy")
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    file = tmp_path / "dynamics.npy"
    assert written[file] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_run_without_a_finite_step_says_where_it_breaks(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    spoil(mlp_folder, STEPS, ())
    job, *_, steps = explained(mlp_folder, vectors, tmp_path)
    with pytest.raises(CheckpointError, match=r"none of 5 .*: NaN or infinity in the weights of"):
        save_maps(job.folder, vectors.shape, steps.records, steps.dynamics)
    assert not (tmp_path / "dynamics.npy").exists()


def test_checks_of_a_run_are_counted_over_its_finite_maps(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    spoil(mlp_folder, (10,), ())
    job, _, manifest, steps = explained(mlp_folder, vectors, tmp_path, target="1")
    checks = checks_of(facts_of(job, manifest, steps).steps, steps.records)
    rows = [0, 1, 3, 4]
    score = steps.records["score"][rows]
    ratio = stored(tmp_path, [STEPS[row] for row in rows]).sum(2) / score
    assert checks["maps"] == 20
    assert checks["negative_scores"] == (score < 0).sum() > 0
    spread = checks["relevance_sum_to_score"]
    expected = [ratio.min(), np.median(ratio), ratio.max()]
    np.testing.assert_allclose(
        [spread[n] for n in ("least", "median", "most")], expected, rtol=1e-6
    )


def test_tables_have_a_row_for_each_sample_of_a_step_or_transition(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    job, _, manifest, steps = explained(mlp_folder, vectors, tmp_path)
    facts = facts_of(job, manifest, steps)
    kind = write_tables(tmp_path, manifest, steps.records, facts, None, None, None, {}, None)
    assert kind == "samples"
    for name, first, column in (("metrics", 0, "relevance_l1"), ("transitions", 1, "change")):
        rows = list(csv.DictReader((tmp_path / f"{name}.csv").read_text().splitlines()))
        found = [float(row[column]) for row in rows]
        np.testing.assert_allclose(found, steps.records[column][first:].ravel())


def test_a_report_is_written_and_a_manifest_with_bad_checkpoints_at_their_steps(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    job, question, manifest, steps = explained(mlp_folder, vectors, tmp_path)
    bad = [LeftOut(path=mlp_folder / name, reason=reason, step=step, bad=True)
           for name, reason, step in (("no.pt", "no step", None), ("net_7.pt", "torn", 7))]  # fmt: skip
    job = replace(job, listing=replace(job.listing, left_out=tuple(bad)))
    finish(job, question, manifest, steps.records, steps.dynamics, Times())
    cells = json.loads((tmp_path / "outliers.json").read_text())["cells"]
    lines = (tmp_path / "outliers.csv").read_text().splitlines()
    assert len(cells) == sum(line.startswith("cells,") for line in lines) == 20
    written = json.loads((tmp_path / "manifest.json").read_text())
    entries = [(e["index"], e["step"], e["status"]) for e in written["checkpoints"]]
    steps_now = (2, 4, 7, 10, 20, 30, None)
    assert entries == [
        (n, step, "bad" if step in (7, None) else "done") for n, step in enumerate(steps_now)
    ]
    assert written["environment"]["finished"] >= written["environment"]["started"]
    png = (tmp_path / "figures" / "dynamics.png").read_bytes()
    assert written["files"]["figures/dynamics.png"] == hashlib.sha256(png).hexdigest()
