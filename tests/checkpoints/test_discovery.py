"""Folders as they are: order, steps, what is left out, what is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.model import Header, StepCandidate
from lrpdyn.checkpoints.readers import read_header, read_weights
from lrpdyn.checkpoints.steps import step_candidates
from lrpdyn.errors import CheckpointError

WEIGHTS = {"0.weight": torch.ones(2, 2), "0.bias": torch.zeros(2)}


class Canary:
    """A pickle that creates a file when it is executed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


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


@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("legacy", [True, False])
def test_state_dicts_bare_and_nested(tmp_path: Path, key: str | None, legacy: bool) -> None:
    content = WEIGHTS if key is None else {key: WEIGHTS, "global_step": 7, "epoch": 1}
    path = tmp_path / "a.cleanrl_model"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert dict(read_header(path, "torch").shapes) == {"0.weight": (2, 2), "0.bias": (2,)}
    weights, _ = read_weights(path, "torch")
    assert torch.equal(weights["0.weight"], WEIGHTS["0.weight"])
    if key:
        header = read_header(path, "torch")
        assert header.step == StepCandidate(value=7, unit="steps", source="global_step")
        assert header.epoch == StepCandidate(value=1, unit="epochs", source="epoch")


@pytest.mark.parametrize(
    ("stem", "source", "value"),
    [
        ("rl_model_500_steps", "label", 500),
        ("epoch=3-step=1200-v1", "label", 1200),
        ("checkpoint_iter_77", "label", 77),
        ("model_epoch_12", "epoch", 12),
        ("agent-2024-05-01-300", "number", 300),
        ("ppo_loss=3.210_40", "number", 40),
        ("100k", "label", 100_000),
        ("ppo-2.5M", "label", 2_500_000),
        ("500_checkpoint", "label", 500),
        ("a1b2c3d4e5_7", "number", 7),
        ("PongNoFrameskip-v4", None, None),
        ("best", None, None),
    ],
)
def test_step_from_the_name(stem: str, source: str | None, value: int | None) -> None:
    found = step_candidates(stem, Header({}))
    if source is None:
        assert found == {}
    else:
        assert found[source].value == value


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


def test_a_pickle_that_runs_code_is_refused_unless_trusted(tmp_path: Path) -> None:
    canary = tmp_path / "executed"
    folder = tmp_path / "ckpts"
    folder.mkdir()
    for step in (1, 2):
        torch.save({"state_dict": WEIGHTS, "extra": Canary(canary)}, folder / f"net_{step}.pt")
    (reason, _) = (entry.reason for entry in discover(folder).bad)
    assert ".mkdir" in reason
    assert "--trust" in reason
    assert not canary.exists()
    weights, _ = read_weights(folder / "net_1.pt", "torch", trust=True)
    assert canary.is_dir()
    assert set(weights) == set(WEIGHTS)


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
