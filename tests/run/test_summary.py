"""What is said of a finished run is what its manifest and its tables hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lrpdyn
from lrpdyn.run.summary import change_lines, closing_lines, run_notes
from lrpdyn.run.trust import trust_text
from tests.pipeline.test_compute import Vectors, mlp_run


@pytest.fixture
def run(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> lrpdyn.Run:
    return mlp_run(mlp_folder, vectors, tmp_path / "run", rule="epsilon", workers=1)


def with_manifest(run: lrpdyn.Run, **changed: Any) -> lrpdyn.Run:
    """Return a run whose manifest says something else."""
    return replace(run, manifest={**run.manifest, **changed})


def with_changes(run: lrpdyn.Run, changes: list[float], steps: list[int]) -> lrpdyn.Run:
    """Return the run with other steps, and with one change for all samples of each transition."""
    table = np.repeat(run.transitions[:1], len(changes) * run.shape[0])
    for name, values in (
        ("change", changes),
        ("from_step", steps[:-1]),
        ("to_step", steps[1:]),
    ):
        table[name] = np.repeat(values, run.shape[0])
    found = replace(run)
    found.__dict__["transitions"] = table
    return found


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_lines_begin_with_what_was_done_and_end_with_what_is_next(
    run: lrpdyn.Run, width: int
) -> None:
    lines = closing_lines(run, width, 75.2)
    words = " ".join(" ".join(lines).split())
    assert words.startswith(
        f"Explained {len(run.steps)} checkpoints x {run.shape[0]} observations with epsilon in 1 min 15 s. "
        f"Saved in {run.path}/ Question: "
    )
    parts = "\n".join(lines).split("\n\n")
    trust = trust_text(run, width)
    assert parts[1].splitlines()[: len(trust)] == trust
    assert parts[2].splitlines()[0] == "What changed?"
    for command in ("report", "plot", "outliers"):
        assert f"lrpdyn {command} {run.path}" in parts[3]
    path = str(run.path)
    assert not [line for line in lines if len(line) > width and path not in line]


def test_a_run_at_the_usual_place_is_not_named_again(
    run: lrpdyn.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = replace(run, path=Path("lrpdyn-run"))
    moved.__dict__.update({"transitions": run.transitions, "metrics": run.metrics,
                           "outliers": run.outliers})  # fmt: skip
    monkeypatch.chdir(run.path.parent)
    run.path.rename("lrpdyn-run")
    assert closing_lines(moved, 80)[-1].split() == (
        ["lrpdyn", "outliers", "the", "largest", "changes", "and", "their", "causes"]
    )


@pytest.mark.parametrize(
    ("changes", "steps", "says"),
    [
        ([8, 1, 1, 1], [0, 10, 20, 30, 40], "Most from step 0 to 10: 73 % of all change."),
        ([1, 1, 3, 3, 1], [0, 10, 20, 30, 40, 50], "Most from step 20 to 40: 67 % of all change."),
        ([1, 1, 1, 1], [0, 10, 20, 30, 40], "The change is spread over training (0 to 40)."),
        ([2, 2, 1], [0, 1, 2, 1000], "Most from step 0 to 2: 80 % of all change."),
        ([0, 0], [0, 1, 2], "Nothing: the maps are the same at every step."),
        ([3], [5, 9], "The change is spread over training (5 to 9)."),
    ],
)
def test_the_shortest_stretch_with_most_of_the_change_is_named(
    run: lrpdyn.Run, changes: list[float], steps: list[int], says: str
) -> None:
    assert change_lines(with_changes(run, changes, steps))[0] == says


def test_a_dynamics_map_like_the_mean_map_is_said_to_be(run: lrpdyn.Run) -> None:
    found = run.manifest["checks"]["dynamics"]
    for alike in (0.5, 0.97):
        checks = {**run.manifest["checks"], "dynamics": {**found, "alike_mean_relevance": alike}}
        said = " ".join(change_lines(with_manifest(run, checks=checks)))
        assert ("looks like the mean map (similarity 0.97" in said) == (alike > 0.9)
        assert f"{100 * found['net_share']:.0f} % of all change lasted" in said


def test_smaller_batches_are_said(run: lrpdyn.Run) -> None:
    assert run_notes(run) == []
    smaller = [{"step": 4, "batch_size": 3}, {"step": 20, "batch_size": 2}]
    (text,) = run_notes(with_manifest(run, smaller_batches=smaller, batch_size=64))
    assert text.startswith(
        "Memory ran out at step 4: batches are of down to 2 observations, not 64"
    )
    assert "with --batch-size 2 they do not" in text
