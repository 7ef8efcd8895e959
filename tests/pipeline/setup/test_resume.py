"""A run is resumed with the same question and the same checkpoints only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import lrpdyn
from lrpdyn.errors import RunError
from tests.pipeline.test_compute import TANH, Vectors, mlp_run


def test_another_question_is_refused(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    out = tmp_path / "run"
    mlp_run(mlp_folder, vectors, out)
    with pytest.raises(RunError, match=r"rule.*zplus.*epsilon.*--overwrite.*-o"):
        mlp_run(mlp_folder, vectors, out, rule="epsilon")
    with pytest.raises(RunError, match="observations"):
        mlp_run(mlp_folder, vectors[:3], out)
    np.save(tmp_path / "obs.npy", vectors)
    again = {"out": tmp_path / "file", "arch_args": TANH, "quiet": True}
    lrpdyn.compute(mlp_folder, tmp_path / "obs.npy", **again)
    np.save(tmp_path / "obs.npy", vectors + 1)
    with pytest.raises(RunError, match=r"observations \(.*changed: .*obs\.npy.*--overwrite"):
        lrpdyn.compute(mlp_folder, tmp_path / "obs.npy", **again)
    (out / "mine.txt").write_text("keep me")
    (out / "figures" / "mine.png").write_text("and me")
    run = mlp_run(mlp_folder, vectors, out, rule="epsilon", overwrite=True)
    assert run.manifest["rule"]["name"] == "epsilon"
    assert (out / "mine.txt").read_text() == "keep me"
    assert (out / "figures" / "mine.png").read_text() == "and me"


def test_changed_checkpoint_is_refused(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    mlp_run(mlp_folder, vectors, tmp_path / "run")
    weights = torch.load(mlp_folder / "net_10.pt", weights_only=True)
    torch.save({key: value + 1 for key, value in weights.items()}, mlp_folder / "net_10.pt")
    with pytest.raises(RunError, match=r"net_10.*changed"):
        mlp_run(mlp_folder, vectors, tmp_path / "run")
