"""The records of all steps as the report takes them: what follows what, and what changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lrpdyn.explain.targets import parse_target
from lrpdyn.explain.units import Units
from lrpdyn.pipeline.results.run_facts import prediction_changes, run_facts
from tests.pipeline.results.test_finish import facts_of
from tests.pipeline.test_compute import Vectors
from tests.pipeline.test_merge import spoil
from tests.pipeline.test_steps import explained, stored


def softmax_at(folder: Path, step: int, vectors: Vectors) -> np.ndarray:
    w = {k: v.numpy() for k, v in torch.load(folder / f"net_{step}.pt", weights_only=True).items()}
    logits = np.tanh(vectors @ w["0.weight"].T + w["0.bias"]) @ w["2.weight"].T + w["2.bias"]
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_a_step_that_is_not_finite_is_bridged(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    spoil(mlp_folder, (10,), ())
    job, _, manifest, steps = explained(mlp_folder, vectors, tmp_path, rule="zplus")
    facts = facts_of(job, manifest, steps)
    assert facts.steps.finite.tolist() == [True, True, False, True, True]
    assert facts.steps.broken[2][0].startswith("the weights of")
    ends = facts.steps.step[facts.changes.before], facts.steps.step[facts.changes.after]
    assert list(zip(*(e.tolist() for e in ends), strict=True)) == [(2, 4), (20, 30)]
    maps = stored(tmp_path, (2, 4, 20, 30))
    expected = np.abs(maps[[1, 3]] - maps[[0, 2]]).sum(2)
    np.testing.assert_allclose(facts.changes.change, expected, rtol=1e-9)
    assert facts.gives_only_support
    units = Units(kind="groups", groups=(1, 2))
    policies = [
        parse_target(text, 4, 3, units).text for text in ("argmax", "1:argmax", "modal", "1:0")
    ]
    follows = [
        facts_of(job, {**manifest, "target": {"policy": policy}}, steps).follows_preference
        for policy in policies
    ]
    assert follows == [True, True, False, False]


def test_gaps_are_told_of_the_transitions_that_they_lie_in(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    job, _, manifest, steps = explained(mlp_folder, vectors, tmp_path)
    facts_of(job, manifest, steps)
    relative = np.load(tmp_path / "relative_dynamics.npy")
    for gaps, left_out in [
        ((), [False, False, False, False]),
        ((25, 7, 8), [False, True, False, True]),
        ((1, 4, 40), [False, False, False, False]),
    ]:
        facts = run_facts(steps.records, manifest, steps.dynamics, relative, gaps)
        assert facts.changes.left_out.tolist() == left_out


def test_pixels_of_a_sample_have_their_largest_change(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    job, _, manifest, steps = explained(mlp_folder, vectors, tmp_path)
    found = facts_of(job, manifest, steps).sums(slice(3, 4))
    differences = np.abs(np.diff(stored(tmp_path, (2, 4, 10, 20, 30))[:, 3], axis=0))
    np.testing.assert_allclose(found.dynamics[0], differences.sum(0), rtol=1e-5)
    np.testing.assert_allclose(found.largest[0], differences.max(0), rtol=1e-5)
    assert found.largest_at[0].tolist() == differences.argmax(0).tolist()


def test_predictions_of_logits_are_their_softmax(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    job, _, manifest, steps = explained(mlp_folder, vectors, tmp_path)
    changes = prediction_changes(steps.records, manifest, facts_of(job, manifest, steps))
    shares = np.stack([softmax_at(mlp_folder, step, vectors) for step in (2, 4, 10, 20, 30)])
    expected = np.abs(np.diff(shares, axis=0)).sum(2)
    np.testing.assert_allclose(changes, expected, rtol=1e-4, atol=1e-6)
