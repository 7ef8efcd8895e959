"""Units that stay the same over all checkpoints: chosen as NumPy does, and held when a run grows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lrpdyn.errors import RunError
from lrpdyn.pipeline.setup.fixed_targets import fixed_targets, settle, targets_of_newest
from lrpdyn.pipeline.setup.new_manifest import make_manifest
from tests.pipeline.setup.test_prepare import prepared
from tests.pipeline.test_compute import Vectors, mlp_run


def preferring(folder: Path, step: int, unit: int) -> None:
    """Make the network of a step prefer a unit whatever it sees."""
    weights = torch.load(folder / f"net_{step}.pt", weights_only=True)
    weights["2.bias"] = 100.0 * torch.nn.functional.one_hot(torch.tensor(unit), 3).float()
    torch.save(weights, folder / f"net_{step}.pt")


def test_targets_held_fixed(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    steps = (2, 4, 10, 20, 30)
    outputs = []
    for step in steps:
        w = torch.load(mlp_folder / f"net_{step}.pt", weights_only=True)
        hidden = np.tanh(vectors @ w["0.weight"].numpy().T + w["0.bias"].numpy())
        outputs.append(hidden @ w["2.weight"].numpy().T + w["2.bias"].numpy())
    stacked = np.stack(outputs)
    centred = stacked - stacked.mean(axis=2, keepdims=True)
    expected = {
        "final": stacked[-1].argmax(1),
        "modal": centred.mean(0).argmax(1),
        "2": np.full(5, 2),
    }
    np.save(tmp_path / "units.npy", np.array([0, 1, 2, 1, 0]))
    expected[str(tmp_path / "units.npy")] = np.array([0, 1, 2, 1, 0])
    for policy, units in expected.items():
        run = mlp_run(mlp_folder, vectors, tmp_path / "run", target=policy, overwrite=True)
        assert run.manifest["target"]["values"] == units.tolist()
        found = run.metrics["score"].reshape(len(steps), -1)
        wanted = centred[:, np.arange(5), units]
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    run = mlp_run(
        mlp_folder, vectors, tmp_path / "run", target="final", contrast="runner-up", overwrite=True
    )
    second = np.argsort(stacked[-1], axis=1)[:, -2]
    assert run.manifest["target"]["runner_up"] == second.tolist()
    rows = np.arange(5)
    wanted = stacked[:, rows, expected["final"]] - stacked[:, rows, second]
    found = run.metrics["score"].reshape(len(steps), -1)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_run_that_grows_holds_its_units_or_is_refused(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    preferring(mlp_folder, 20, 1)
    preferring(mlp_folder, 30, 2)
    early, checks = prepared(mlp_folder, vectors, tmp_path / "run", target="final", until=20)
    fixed = fixed_targets(early, None)
    assert fixed.target is not None
    assert fixed.target.tolist() == 5 * [1]
    _, manifest = settle(early, make_manifest(early, checks), fixed)
    assert manifest["target"] == {"policy": "final", "values": 5 * [1]}
    again = fixed_targets(early, manifest)
    assert again.target is not None
    assert again.target.tolist() == 5 * [1]
    late, _ = prepared(mlp_folder, vectors, tmp_path / "run", target="final")
    with pytest.raises(
        RunError, match=r"final would choose other units for samples 0, 1, 2, 3, 4;"
    ):
        fixed_targets(late, manifest)


def test_while_followed_the_units_are_those_that_it_began_with_or_the_newest(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    preferring(mlp_folder, 20, 1)
    preferring(mlp_folder, 30, 2)
    job, checks = prepared(mlp_folder, vectors, tmp_path / "run", target="final")
    newest = targets_of_newest(job, None)
    assert newest.target is not None
    assert newest.target.tolist() == 5 * [2]
    manifest = make_manifest(job, checks)
    manifest["target"]["values"] = [0, 1, 2, 1, 0]
    held = targets_of_newest(job, manifest)
    assert held.target is not None
    assert held.target.tolist() == [0, 1, 2, 1, 0]
