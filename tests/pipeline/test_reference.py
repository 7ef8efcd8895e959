"""A run whose relevance is measured from a reference: its maps, its question, its workers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lrpdyn.errors import RunError, UsageError
from tests.pipeline.test_compute import Vectors, contents, mlp_run


def test_relevance_is_that_of_the_difference(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    plain = mlp_run(mlp_folder, vectors, tmp_path / "plain", rule="lrp0", contrast="none")
    run = mlp_run(
        mlp_folder, vectors, tmp_path / "run", rule="lrp0", contrast="none", reference="mean"
    )
    mean = vectors.mean(0)
    for step in run.steps:
        np.testing.assert_allclose(
            run.relevance[step] / (vectors - mean), plain.relevance[step] / vectors, rtol=2e-3
        )
    assert run.question.endswith(", relative to the mean of the observations")
    assert plain.manifest["reference"] == "none"
    # Other processes measure from the same reference.
    two = mlp_run(
        mlp_folder,
        vectors,
        tmp_path / "two",
        rule="lrp0",
        contrast="none",
        reference="mean",
        workers=2,
    )
    assert contents(two.path) == contents(run.path)


def test_another_reference_is_another_question(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    path = tmp_path / "f.npy"
    np.save(path, vectors[0])
    mlp_run(mlp_folder, vectors, tmp_path / "run", reference=str(path))
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["reference"].startswith("f.npy ")
    np.save(path, vectors[1])
    for other in (str(path), "none", 0.5):
        with pytest.raises(RunError, match="another question: reference "):
            mlp_run(mlp_folder, vectors, tmp_path / "run", reference=other)


def test_captums_own_rules_have_none(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--reference: Captum's own rule captum:epsilon has none"):
        mlp_run(mlp_folder, vectors, tmp_path / "run", rule="captum:epsilon", reference=1)
