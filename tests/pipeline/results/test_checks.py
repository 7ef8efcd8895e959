"""Checks after the last step: at which steps, what is skipped, and which steps have the same weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from lrpdyn.outliers.report import find_outliers
from lrpdyn.pipeline.results.checks import Checked, check_maps, same_weights
from tests.pipeline.results.test_finish import facts_of
from tests.pipeline.test_compute import Vectors
from tests.pipeline.test_steps import explained


def checked(
    folder: Path, vectors: Vectors, out: Path, gone: tuple[int, ...] = (), **options: Any
) -> Checked:
    """Return the checks of a run, some of whose checkpoints are gone since they were explained."""
    job, question, manifest, steps = explained(folder, vectors, out, **options)
    outliers = find_outliers(facts_of(job, manifest, steps))
    for step in gone:
        (folder / f"net_{step}.pt").unlink()
    drawn = out / "drawn"
    found = check_maps(job, question, steps.records, outliers, drawn.touch)
    assert drawn.exists()
    return found


def test_the_first_middle_and_last_step_and_measured_ones_are_checked(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    found = checked(mlp_folder, vectors, tmp_path / "run", rule="gamma", fill=0.5)
    assert found.dependence is not None
    assert found.faithfulness is not None
    measured = [of.step for of in found.faithfulness.steps]
    assert {2, 10, 30} < set(measured)
    assert [(entry["step"], entry["samples"]) for entry in found.dependence] == [
        (step, 5) for step in measured
    ]
    assert found.agreement is not None
    assert (found.agreement["rule"], found.agreement["fill"]) == ("gamma", 0.5)
    assert [entry["step"] for entry in found.agreement["steps"]] == [2, 10, 30]
    assert found.of_random is not None
    assert found.of_random.entropy.shape == (5,)


def test_a_checkpoint_that_is_gone_is_skipped(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    found = checked(mlp_folder, vectors, tmp_path / "run", gone=(10,))
    assert [entry["step"] for entry in found.dependence or ()] == [2, 4, 20, 30]
    assert found.agreement is not None
    assert [entry["step"] for entry in found.agreement["steps"]] == [2, 30]


def test_without_random_networks_nothing_is_compared_with_them(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    found = checked(mlp_folder, vectors, tmp_path / "run", baseline="none")
    assert (found.dependence, found.of_random) == (None, None)
    assert found.agreement is not None


def test_steps_of_the_same_weights_are_grouped(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    for step, source in ((3, 2), (25, 20), (27, 20)):
        shutil.copy(mlp_folder / f"net_{source}.pt", mlp_folder / f"net_{step}.pt")
    job, *_, steps = explained(mlp_folder, vectors, tmp_path / "run")
    assert same_weights(job.listing, steps.records) == [[2, 3], [20, 25, 27]]
