"""Options that choose checkpoints and weights, from the command line to the manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from lrpdyn.cli.main import group
from lrpdyn.errors import LrpdynError
from tests.checkpoints.networks import Net, architecture, observations, own, states, under


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten checkpoints with averaged weights, two of which are the same; observations beside."""
    ckpts = tmp_path / "ckpts"
    ckpts.mkdir()
    for step, weights in states(tuple(range(1, 11))).items():
        saved = states((8,))[8] if step == 9 else weights
        averaged = under("module.", {key: value / 2 for key, value in own(weights).items()})
        torch.save({"state_dict": saved, "state_dict_ema": averaged}, ckpts / f"net_{step}0.pt")
    np.save(tmp_path / "obs.npy", observations(8))
    return tmp_path


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(
        group, list(map(str, arguments)), obj={"verbose": 0}, standalone_mode=False
    )


def compute(folder: Path, *arguments: Any) -> tuple[Result, dict[str, Any]]:
    out = folder / "run"
    given = ("--arch", architecture(), "--scale", 255, "--baseline", "none", "-o", out)
    result = run("compute", folder / "ckpts", folder / "obs.npy", *given, *arguments)
    manifest = out / "manifest.json"
    return result, json.loads(manifest.read_text()) if manifest.exists() else {}


def test_selection_is_part_of_the_question(folder: Path) -> None:
    chosen = ("--since", 20, "--until", 90, "--every", 2, "--limit", 3)
    result, manifest = compute(folder, *chosen)
    assert result.exit_code == 0, result.output
    assert [entry["step"] for entry in manifest["checkpoints"]] == [20, 60, 80]
    assert manifest["selection"] == {
        "pattern": None, "since": 20, "until": 90, "every": 2, "limit": 3, "weights": "model",
        "prefix": None, "step_from": None,
    }  # fmt: skip
    assert "nothing to do" in compute(folder, *chosen)[0].stderr
    refused, _ = compute(folder, *chosen[:-1], 4)
    assert isinstance(refused.exception, LrpdynError)
    assert "limit (3 there, 4 here)" in str(refused.exception)


def test_averaged_weights_are_others(folder: Path) -> None:
    plain, _ = compute(folder, "--limit", 2)
    first = np.load(folder / "run/relevance/step_000000000010.npy")
    averaged, manifest = compute(folder, "--limit", 2, "--weights", "ema", "--overwrite")
    assert plain.exit_code == averaged.exit_code == 0
    assert manifest["weights"]["in_file"] == "state_dict_ema"
    assert manifest["weights"]["keys"] == {"wrappers": True, "prefix": ""}
    second = np.load(folder / "run/relevance/step_000000000010.npy")
    assert not np.array_equal(first, second)


def test_equal_weights_are_told(folder: Path) -> None:
    result, manifest = compute(folder, "--since", 70)
    assert manifest["weights"]["same"] == [[80, 90]]
    assert "steps 80, 90 have the same weights" in result.stderr
    shown = run("inspect", folder / "ckpts")
    assert "steps 80, 90 have the same weights" in shown.stderr


def test_other_samples_are_one_flag(folder: Path) -> None:
    _, manifest = compute(folder, "--limit", 2, "--select", "spread:3", "--seed", 4)
    told = manifest["observations"]
    assert (told["select"], told["seed"], len(told["samples"])) == ("spread:3", 4, 3)
    assert told["shape"] == [3, 3, 8, 8]
    refused, _ = compute(folder, "--limit", 2, "--select", "random:3")
    assert "observations" in str(refused.exception)


def test_bad_files_are_skipped_with_exit_3(folder: Path) -> None:
    (folder / "ckpts/net_55.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    refused, _ = compute(folder)
    assert "Git LFS pointer" in str(refused.exception)
    skipped, manifest = compute(folder, "--skip-bad")
    assert skipped.return_value == 3
    assert "skipped" in skipped.stderr
    (bad,) = [entry for entry in manifest["checkpoints"] if entry["status"] == "bad"]
    assert bad["step"] == 55


def test_what_is_trusted_is_told_before_it_runs(folder: Path) -> None:
    for step in (10, 20):
        torch.manual_seed(step)
        torch.save(Net(), folder / f"ckpts/net_{step}.pt")
    refused, _ = compute(folder, "--until", 20)
    assert "whole pickled module" in str(refused.exception)
    result, _ = compute(folder, "--until", 20, "--trust", "--quiet")
    assert result.exit_code == 0, result.output
    assert "Note: trusted: reading these checkpoints runs" in result.stderr
    assert "tests.checkpoints.networks.Net" in result.stderr


def test_unused_weights_are_told(folder: Path) -> None:
    for step, weights in states((10, 20)).items():
        saved = {**under("policy.", weights), **under("critic.", {"bias": torch.ones(3)})}
        torch.save(saved, folder / f"ckpts/net_{step}.pt")
    result, manifest = compute(folder, "--until", 20)
    assert "weights under 'policy.' are architecture" in result.stderr
    assert "not used: critic.bias" in result.stderr
    assert manifest["weights"]["keys"]["prefix"] == "policy."


def test_inspect_as_json(folder: Path) -> None:
    found = json.loads(run("inspect", folder / "ckpts", "--limit", 2, "--format", "json").stdout)
    assert [row["step"] for row in found["checkpoints"]] == [10, 100]
    assert {row["weights"] for row in found["checkpoints"]} == {"state_dict"}
    assert len(found["left_out"]) == 8
