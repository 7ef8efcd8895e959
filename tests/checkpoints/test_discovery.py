"""Folders as they are: order, steps, what is left out, what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from lrpdyn.checkpoints.discovery import discover
from lrpdyn.errors import CheckpointError

WEIGHTS = {"0.weight": torch.ones(2, 2), "0.bias": torch.zeros(2)}


def test_steps_are_ordered_as_numbers(mlp_folder: Path) -> None:
    listing = discover(mlp_folder)
    assert [checkpoint.step for checkpoint in listing.checkpoints] == [2, 4, 10, 20, 30]
    assert listing.left_out == ()


def test_stable_baselines3_steps_come_from_the_file(ppo_folder: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(ppo_folder.iterdir())):
        shutil.copy(path, tmp_path / f"model_{9 - number}.zip")
    listing = discover(tmp_path)
    assert [checkpoint.step for checkpoint in listing.checkpoints] == [0, 16, 32, 48]
    assert {checkpoint.step_source for checkpoint in listing.checkpoints} == {"num_timesteps"}


def test_left_out_with_a_reason(mlp_folder: Path) -> None:
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))])
    torch.save(optimizer.state_dict(), mlp_folder / "optimizer.pt")
    torch.save(WEIGHTS, mlp_folder / "best.pt")
    (mlp_folder / "progress.csv").write_text("a,b\n")
    (mlp_folder / ".hidden").write_text("x")
    (mlp_folder / "logs").mkdir()
    listing = discover(mlp_folder)
    reasons = {e.path.name: e.reason.removeprefix(f"{e.path}: ") for e in listing.left_out}
    assert reasons == {
        "optimizer.pt": "an optimizer state",
        "best.pt": "no step in the file or its name",
        "progress.csv": "is a text file",
        ".hidden": "a hidden or temporary file",
        "logs": "a folder",
    }
    assert not listing.bad
    assert len(listing.checkpoints) == 5


def test_a_network_is_read_whatever_its_name_says(tmp_path: Path) -> None:
    for step in (1, 2):
        weights = {"0.weight": torch.full((2, 2), float(step))}
        torch.save(weights, tmp_path / f"adam_optimizer_{step}.pt")
    (tmp_path / "rng_state.pth").write_bytes(b"broken")
    listing = discover(tmp_path)
    assert [checkpoint.step for checkpoint in listing.checkpoints] == [1, 2]
    assert [entry.reason for entry in listing.left_out] == ["a random number state"]
    assert listing.bad == ()


def test_damaged_files_are_bad_and_keep_their_step(mlp_folder: Path, ppo_folder: Path) -> None:
    whole = (mlp_folder / "net_2.pt").read_bytes()
    (mlp_folder / "net_5.pt").write_bytes(whole[: len(whole) // 2])
    (mlp_folder / "net_6.pt").write_bytes(b"")
    (mlp_folder / "net_7.pt").write_text("not a checkpoint")
    archive = (ppo_folder / "rl_model_16_steps.zip").read_bytes()
    (mlp_folder / "net_8.zip").write_bytes(archive[:5000])
    bad = {entry.path.name: entry for entry in discover(mlp_folder).bad}
    assert {name: entry.step for name, entry in bad.items()} == {
        "net_5.pt": 5,
        "net_6.pt": 6,
        "net_7.pt": 7,
        "net_8.zip": 8,
    }
    assert "cut short" in bad["net_5.pt"].reason
    assert "empty" in bad["net_6.pt"].reason
    assert all("\n" not in entry.reason for entry in bad.values())


def test_several_series_ask_for_a_pattern(mlp_folder: Path) -> None:
    for step in (1, 2):
        torch.save(WEIGHTS, mlp_folder / f"other_{step}.pt")
    with pytest.raises(CheckpointError, match=r"several series.*--pattern"):
        discover(mlp_folder)
    assert len(discover(mlp_folder, pattern="net_*").checkpoints) == 5
    assert len(discover(str(mlp_folder / "other_*.pt")).checkpoints) == 2


def test_same_step_twice(mlp_folder: Path) -> None:
    shutil.copy(mlp_folder / "net_2.pt", mlp_folder / "net_002.pt")
    (two, *_) = discover(mlp_folder).checkpoints
    assert two.step == 2
    assert len(two.aliases) == 1
    shutil.copy(mlp_folder / "net_4.pt", mlp_folder / "net_0002.pt")
    with pytest.raises(CheckpointError, match="two different checkpoints at step 2"):
        discover(mlp_folder)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        discover(tmp_path / "nothing")
