"""lrpdyn inspect: every entry with its step and architecture, or why it is skipped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
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
    said = " ".join(result.stderr.split())
    assert said.count("Skipped: ") == 11
    assert "Skipped: 2 more: " in said
    assert f"Bad: {mlp_folder / 'net_40.pt'}: " in said
    assert any(line.startswith("5 of unknown architecture, first: ") for line in lines)


def test_what_is_assumed_is_said_once(tmp_path: Path) -> None:
    for step in (1, 2):
        torch.save(nn.Sequential(nn.Linear(4, 2)).state_dict(), tmp_path / f"net_{step}.pt")
    lines = lrpdyn("inspect", tmp_path, cwd=tmp_path).stderr.splitlines()
    assert [line[:23] for line in lines if line.startswith("Assumed")] == [
        "Assumed: nothing but th"
    ]


ATTENTION = """
from torch import nn


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        x = self.first(x)
        if x.shape[1] > 5:
            x = x[:, :5]
        weights = (x @ x.transpose(1, 2)).softmax(-1)
        return self.last(weights @ x).mean(1)


class Refused(Attention):
    def forward(self, x):
        return self.last(self.first(x).sort(-1)[0])
"""


@pytest.fixture
def attention(tmp_path: Path) -> Path:
    """A folder with a checkpoint of a network that is traced with an example alone."""
    (tmp_path / "own.py").write_text(ATTENTION)
    layers = nn.ModuleDict({"first": nn.Linear(4, 4), "last": nn.Linear(4, 2)})
    (tmp_path / "saved").mkdir()
    torch.save(layers.state_dict(), tmp_path / "saved" / "net_1.pt")
    return tmp_path


def test_layers_have_the_rules_of_the_run(folder: Path, ppo_folder: Path) -> None:
    found = json.loads(
        lrpdyn("inspect", "--layers", ppo_folder, "--format", "json", cwd=folder).stdout
    )
    manifest = json.loads((folder / "lrpdyn-run" / "manifest.json").read_text())
    assert {row["name"]: row["rule"] for row in found["layers"]} == manifest["rule"]["layers"]
    assert found["layers"][0]["operation"] == "Conv2d"
    assert found["layers"][0]["source"].startswith("Bach et al. 2015, eq. 60")
    assert found["notes"][-1].startswith("no observations: zeros (1, 4, 84, 84)")


def test_layers_of_a_network_that_needs_an_example(attention: Path) -> None:
    given = ("inspect", "--layers", "saved", "--arch", "own.py:Attention")
    refused = lrpdyn(*given, cwd=attention)
    assert refused.returncode != 0
    assert refused.stderr.startswith("Error: expected OBSERVATIONS after CHECKPOINTS")
    np.save(attention / "states.npy", np.ones((2, 3, 4), np.float32))
    printed = lrpdyn(*given[:3], "states.npy", *given[3:], cwd=attention).stdout.splitlines()
    lines = {words[0]: words[1:] for line in printed if (words := line.split())}
    assert lines["matmul_1"] == ["matmul", "matrix-product", "cp-lrp", "gate:", "softmax"]
    assert lines["matmul"] == ["matmul", "matrix-product", "cp-lrp", "halves"]
    assert lines["cp-lrp:"][0] == "Give"
    assert max(map(len, printed)) <= 80


def test_an_operation_without_a_rule_is_named(attention: Path) -> None:
    given = ("inspect", "--layers", "saved", "--arch", "own.py:Refused")
    error = lrpdyn(*given, cwd=attention).stderr
    assert error.startswith("Error: Refused: 'sort' (sort)")
    assert error.count("\n") == 1


@pytest.mark.parametrize("given", [("--rule", "gamma"), ("net_1.npy",), ("--arch-arg", "a=1")])
def test_what_is_for_layers_alone_is_refused_without(given: tuple[str, ...], folder: Path) -> None:
    (folder / "net_1.npy").touch()
    result = lrpdyn("inspect", ".", *given, cwd=folder)
    assert result.returncode == 2
    assert "only with --layers; " in result.stderr


def test_captums_own_rules_have_no_plan(folder: Path, ppo_folder: Path) -> None:
    result = lrpdyn("inspect", "--layers", ppo_folder, "--rule", "captum:gamma", cwd=folder)
    assert result.returncode == 2
    assert "--rule gamma:0.25" in result.stderr
