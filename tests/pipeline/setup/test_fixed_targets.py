"""Targets that stay the same over all checkpoints, against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tests.pipeline.test_compute import Vectors, mlp_run


def test_fixed_targets_are_those_of_the_outputs(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
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
