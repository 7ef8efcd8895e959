"""Runs on several discrete actions and on continuous ones: whole, in shards, followed, resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.errors import RunError

Vectors = NDArray[np.float32]
QUIET: dict[str, Any] = {"baseline": "none", "quiet": True, "workers": 1}


def compute(folder: Path, vectors: Vectors, out: Path, **options: Any) -> lrpdyn.Run:
    asked = {"arch_args": {"activation": "tanh"}, "actions": "1,2", **QUIET, **options}
    return lrpdyn.compute(folder, vectors, out=out, **asked)


def outputs(folder: Path, vectors: Vectors, step: int) -> NDArray[np.float64]:
    weights = torch.load(folder / f"net_{step}.pt", weights_only=True)
    network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    network.load_state_dict(weights)
    with torch.no_grad():
        return network(torch.from_numpy(vectors)).double().numpy()


def test_scores_are_those_of_an_action(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    run = compute(mlp_folder, vectors, tmp_path / "run", target="1:argmax")
    recorded = {"kind": "groups", "groups": [1, 2]}
    assert (run.manifest["units"], run.manifest["contrast"]) == (recorded, "mean")
    for step in (2, 30):
        rows = run.metrics[run.metrics["step"] == step]
        found = outputs(mlp_folder, vectors, step)[:, 1:]
        np.testing.assert_allclose(rows["score"], found.max(1) - found.mean(1), rtol=1e-5)
        assert rows["target"].tolist() == (1 + found.argmax(1)).tolist()


def test_scores_are_plain_means(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    run = compute(mlp_folder, vectors, tmp_path / "run", actions="box", regions=None)
    assert run.manifest["target"] == {"policy": "largest", "values": None}
    assert run.manifest["contrast"] == "none"
    rows = run.metrics[run.metrics["step"] == 30]
    found = outputs(mlp_folder, vectors, 30)
    largest = np.abs(found).argmax(1)
    assert rows["argmax"].tolist() == rows["target"].tolist() == largest.tolist()
    np.testing.assert_allclose(rows["score"], found[range(5), largest], rtol=1e-5)
    steps = (2, 4, 10, 20, 30)
    change = np.abs(np.diff([outputs(mlp_folder, vectors, step) for step in steps], axis=0))
    np.testing.assert_allclose(
        run.transitions["prediction_change"], change.sum(2).ravel(), rtol=1e-4
    )


def test_shards_and_a_run_that_is_followed_are_the_same(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    asked = {"target": "1:final", "contrast": "runner-up"}
    whole = compute(mlp_folder, vectors, tmp_path / "whole", **asked)
    shards = [tmp_path / f"shard{k}" for k in (1, 2)]
    for k, shard in enumerate(shards, start=1):
        compute(mlp_folder, vectors, shard, shard=f"{k}/2", **asked)
    merged = lrpdyn.merge(shards, out=tmp_path / "merged", quiet=True)
    followed = compute(
        mlp_folder, vectors, tmp_path / "followed", follow=True, idle=0.3, poll=0.1, **asked
    )
    for run in (merged, followed):
        for name in ("metrics.csv", "transitions.csv"):
            assert (run.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_a_run_of_another_action_space_is_another_question(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    compute(mlp_folder, vectors, tmp_path / "run")
    with pytest.raises(RunError, match=r"another question: actions \(.*groups.*there"):
        compute(mlp_folder, vectors, tmp_path / "run", actions=None)
