"""lrpdyn inspect: every entry with its step and architecture, or why it is skipped."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from tests.cli.processes import lrpdyn


def test_every_checkpoint_is_listed(folder: Path, ppo_folder: Path) -> None:
    found = json.loads(lrpdyn("inspect", ppo_folder, "--format", "json", cwd=folder).stdout)
    assert [row["step"] for row in found["checkpoints"]] == [0, 16, 32, 48]
    assert {row["architecture"] for row in found["checkpoints"]} == {"sb3-cnn"}
    assert "num_timesteps" in lrpdyn("inspect", ppo_folder, cwd=folder).stdout


def test_many_entries_of_one_reason_are_counted(mlp_folder: Path) -> None:
    for number in range(12):
        (mlp_folder / f"notes_{number}.txt").write_text("no checkpoint")
    (mlp_folder / "net_40.pt").write_bytes(bytes(range(256)))
    result = lrpdyn("inspect", mlp_folder, cwd=mlp_folder)
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    assert sum(line.startswith("left out: ") for line in lines) == 11
    assert any(line.startswith("left out: 2 more: ") for line in lines)
    assert any(line.startswith(f"bad: {mlp_folder / 'net_40.pt'}: ") for line in lines)
    assert any(line.startswith("5 of unknown architecture, first: ") for line in lines)


def test_what_is_assumed_is_said_once(tmp_path: Path) -> None:
    for step in (1, 2):
        torch.save(nn.Sequential(nn.Linear(4, 2)).state_dict(), tmp_path / f"net_{step}.pt")
    lines = lrpdyn("inspect", tmp_path, cwd=tmp_path).stderr.splitlines()
    assert [line[:23] for line in lines if line.startswith("assumed")] == [
        "assumed: nothing but th"
    ]
