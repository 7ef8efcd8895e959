"""Folders that frameworks leave, with what lies in them besides checkpoints."""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.model import Listing
from lrpdyn.checkpoints.readers import read_weights
from lrpdyn.checkpoints.selection import Selection
from lrpdyn.errors import CheckpointError


def weights(number: float) -> dict[str, torch.Tensor]:
    return {"fc.weight": torch.full((2, 4), number), "fc.bias": torch.zeros(2)}


def save(path: Path, number: float, **told: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": weights(number), **told} if told else weights(number), path)


def sb3(path: Path, number: float, step: int) -> None:
    policy = io.BytesIO()
    torch.save(weights(number), policy)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", json.dumps({"num_timesteps": step}))
        archive.writestr("policy.pth", policy.getvalue())


def names(listing: Listing) -> list[str]:
    return [checkpoint.path.name for checkpoint in listing.checkpoints]


def reasons(listing: Listing) -> dict[str, str]:
    return {entry.path.name: entry.reason for entry in listing.left_out}


def test_rl_zoo3_with_a_last_zip_of_other_weights(tmp_path: Path) -> None:
    for step in (512, 1024):
        sb3(tmp_path / f"rl_model_{step}_steps.zip", step, step)
    sb3(tmp_path / "CartPole-v1.zip", 3, 1024)  # saved after one more update
    sb3(tmp_path / "best_model.zip", 512, 512)
    (tmp_path / "CartPole-v1").mkdir()
    (tmp_path / "CartPole-v1/args.yml").write_text("!!python/object/apply:os.system [false]\n")
    (tmp_path / "CartPole-v1/config.yml").write_text("a: 1\n")
    (tmp_path / "CartPole-v1/vecnormalize.pkl").write_bytes(b"\x80\x05N.")
    listing = discover(tmp_path)
    assert names(listing) == ["rl_model_512_steps.zip", "rl_model_1024_steps.zip"]
    assert reasons(listing)["CartPole-v1.zip"] == "rl_model_1024_steps.zip is at its step, 1024"
    assert any("skipped: CartPole-v1.zip" in note for note in listing.notes)


def test_rl_zoo3_without_checkpoints_between(tmp_path: Path) -> None:
    sb3(tmp_path / "CartPole-v1.zip", 3, 4096)
    sb3(tmp_path / "best_model.zip", 2, 1024)
    assert names(discover(tmp_path)) == ["best_model.zip", "CartPole-v1.zip"]


def test_skorch(tmp_path: Path) -> None:
    """skorch.callbacks.Checkpoint with f_params='params_epoch{last_epoch[epoch]}.pt', and its end."""
    for epoch in (1, 2, 10):
        save(tmp_path / f"params_epoch{epoch}.pt", epoch)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 0.1)
    for prefix in ("", "train_end_"):
        save(tmp_path / f"{prefix}params.pt", 11)
        torch.save(optimizer.state_dict(), tmp_path / f"{prefix}optimizer.pt")
        torch.save({}, tmp_path / f"{prefix}criterion.pt")
        (tmp_path / f"{prefix}history.json").write_text("[]")
    listing = discover(tmp_path)
    assert [(c.step, c.path.name) for c in listing.checkpoints] == [
        (epoch, f"params_epoch{epoch}.pt") for epoch in (1, 2, 10)
    ]
    assert listing.unit == "epochs"
    assert listing.bad == ()
    assert reasons(listing)["criterion.pt"] == "the state of a loss function"
    assert any("train_end_params.pt" in note for note in listing.notes)


def test_monai(tmp_path: Path) -> None:
    for epoch in (2, 10):
        save(tmp_path / f"checkpoint_epoch={epoch}.pt", epoch)
    save(tmp_path / "checkpoint_final_iteration=120.pt", 12)
    save(tmp_path / "checkpoint_key_metric=0.95.pt", 2)
    listing = discover(tmp_path)
    assert [checkpoint.step for checkpoint in listing.checkpoints] == [2, 10]
    assert {"checkpoint_final_iteration=120.pt", "checkpoint_key_metric=0.95.pt"} <= set(
        reasons(listing)
    )
    assert sum(note.startswith("skipped: ") for note in listing.notes) == 2


@pytest.mark.parametrize(
    "number",
    [float, torch.tensor, lambda n: torch.arange(20)[n], np.int64, np.float32, np.array],
    ids=["float", "tensor", "view", "int64", "float32", "array"],
)
def test_epochs_that_are_no_plain_integers(number: Callable[[int], Any], tmp_path: Path) -> None:
    for epoch, name in ((10, "a"), (1, "b"), (2, "c")):
        save(tmp_path / f"{name}.pt", epoch, epoch=number(epoch))
    listing = discover(tmp_path)
    assert [(c.step, c.step_source) for c in listing.checkpoints] == [
        (n, "epoch") for n in (1, 2, 10)
    ]


def test_an_epoch_that_is_no_whole_number_is_none(tmp_path: Path) -> None:
    for epoch in (1, 2):
        save(tmp_path / f"net_{epoch}.pt", epoch, epoch=epoch / 2)
    assert discover(tmp_path).unit == "steps"


def test_averages_of_lightning(tmp_path: Path) -> None:
    """What lightning.pytorch.callbacks.WeightAveraging writes in on_save_checkpoint."""
    for step in (1, 2):
        saved = {
            "global_step": step, "state_dict": weights(step), "current_model_state": weights(step + 0.5),
            "averaging_state": {"n_averaged": torch.tensor(3)}, "args": argparse.Namespace(a=1),
        }  # fmt: skip
        torch.save(saved, tmp_path / f"step={step}.ckpt")
    for choice, first in (("model", 1.0), ("ema", 1.0), ("current_model_state", 1.5)):
        listing = discover(tmp_path, selection=Selection(weights=choice))
        entry = listing.checkpoints[0]
        found, _ = read_weights(entry.path, entry.format, weights=choice)
        assert found["fc.weight"][0, 0] == first
        assert entry.header.averaged is (first == 1.0)
        assert any("the average" in note for note in listing.notes) is (first == 1.0)


def suggested(folder: Path) -> Listing:
    """Return what the glob lists that a folder's error suggests."""
    with pytest.raises(CheckpointError, match="glob in quotes") as error:
        discover(folder)
    return discover(str(error.value).split("'")[1])


@pytest.mark.parametrize(
    "form",
    [
        "artifacts/run-3k2j1hx9-model:v{}/net.pt",  # Weights & Biases, downloaded
        "model:v{}/policy.pth",
        "checkpoints/epoch={}/state_dict.pth",  # MLflow's artifacts
        "epoch={}-val/loss=0.{}3.ckpt",  # Lightning, a metric called val/loss
        "checkpoints/epoch_{}/checkpoint.pth",
    ],
)
def test_a_glob_is_suggested_for_folders_of_one_checkpoint(form: str, tmp_path: Path) -> None:
    for number, other in ((2, 9), (10, 1), (1, 5)):
        save(tmp_path / form.format(number, other), number)
    listing = suggested(tmp_path)
    assert [checkpoint.step for checkpoint in listing.checkpoints] == [1, 2, 10]


def test_folders_of_a_model_are_read_as_they_are(tmp_path: Path) -> None:
    for number in (2, 10, 1):
        save(tmp_path / f"artifacts/run-3k2j1hx9-model:v{number}/model.pt", number)
    assert [checkpoint.step for checkpoint in discover(tmp_path).checkpoints] == [1, 2, 10]


def test_models_of_mlflow_have_a_step_in_no_name(tmp_path: Path) -> None:
    for number, name in (
        (1, "m-4f0c1d2e3a5b4c6d8e7f9a0b1c2d3e4f"),
        (2, "m-0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
    ):
        save(tmp_path / f"models/{name}/artifacts/data/model.pth", number)
    found = discover(str(tmp_path / "models/*/artifacts/data/model.pth"))
    assert found.checkpoints == ()
    assert {entry.reason for entry in found.left_out} == {"no step in the file or its name"}
