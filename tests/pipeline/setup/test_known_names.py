"""Names: what the user says, and what recordings, files and frameworks know; where they are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models
from transformers import ViTConfig, ViTForImageClassification

import lrpdyn
from lrpdyn.errors import UsageError
from lrpdyn.figures.run_data import about_of
from lrpdyn.outliers.render import as_table
from lrpdyn.page.report import write_report

gymnasium.register_envs(ale_py)


class _Policy(nn.Module):
    """Actions of single frames of Atari, in grey, or of stacks of them."""

    heads = ("policy",)

    def __init__(self, actions: int, channels: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 2, 8, stride=8), nn.ReLU(), nn.Flatten(), nn.Linear(200, actions)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(x)
        return logits

    def path(self, head: str) -> nn.Module:
        return self


def _saved(folder: Path, make: Any) -> Path:
    folder.mkdir()
    for step in (1, 2, 3):
        torch.manual_seed(step)
        torch.save(make().state_dict(), folder / f"step_{step}.pt")
    return folder


def _compute(checkpoints: Path, observations: Any, **options: Any) -> lrpdyn.Run:
    usual = {"out": checkpoints.parent / "run", "workers": 1, "faithfulness": "none",
             "baseline": "none", "quiet": True}  # fmt: skip
    return lrpdyn.compute(checkpoints, observations, **{**usual, **options})


def test_recordings_keep_what_actions_mean(tmp_path: Path) -> None:
    env = gymnasium.make("ALE/Pong-v5", frameskip=4, obs_type="grayscale")
    env = gymnasium.wrappers.ResizeObservation(env, (84, 84))
    meanings = env.unwrapped.get_action_meanings()  # type: ignore[attr-defined]
    env = gymnasium.wrappers.FrameStackObservation(env, 4)
    checkpoints = _saved(tmp_path / "ckpts", lambda: _Policy(6, 4))
    network = _Policy(6, 4)
    network.load_state_dict(torch.load(checkpoints / "step_2.pt"))
    recording = tmp_path / "obs.npz"
    made = lrpdyn.record(network, env, n=2, every=3, out=recording, head="policy", step=2)
    assert made.about["action_meanings"] == meanings
    arch = {
        "arch": f"{__file__}:_Policy",
        "arch_args": {"actions": 6, "channels": 4},
        "scale": "none",
    }
    run = _compute(checkpoints, recording, **arch)
    assert run.manifest["names"] == {
        "units": {str(unit): name for unit, name in enumerate(meanings)},
        "channels": {"0": "t-3", "1": "t-2", "2": "t-1", "3": "t"},
        "from": {"units": "the recording", "channels": "the stack of frames"},
    }
    names = tmp_path / "names.toml"
    names.write_text('[units]\n0 = "wait"\n[samples]\n1 = "the ball is lost"\n')
    before = (run.path / "relevance").stat().st_mtime_ns
    again = _compute(checkpoints, recording, **arch, names=names)
    assert again.manifest["names"]["units"] == {
        "0": "wait", **{str(unit): meanings[unit] for unit in range(1, 6)}
    }  # fmt: skip
    assert again.manifest["names"]["from"]["units"] == f"{names}, the recording"
    assert (run.path / "relevance").stat().st_mtime_ns == before  # no step is explained again
    assert "sample 1 (the ball is lost)" in as_table(again.outliers, ("samples", "cells"), None)
    assert about_of(again).sample(1) == "sample 1 (the ball is lost)"


def test_files_name_samples_and_their_folders_units(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("ants/<b>.png", "bees/0.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (84, 84), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / name)
    checkpoints = _saved(tmp_path / "ckpts", lambda: nn.Sequential(_Policy(2).body))
    run = _compute(
        checkpoints, tmp_path / "images", arch=f"{__file__}:_classifier", scale=255, target="labels"
    )
    names = run.manifest["names"]
    assert names["samples"] == {"0": "ants/<b>.png", "1": "bees/0.png"}
    assert names["units"] == {"0": "ants", "1": "bees"}
    page = write_report(run).path.read_text()
    assert "Sample 0 (ants/&lt;b&gt;.png)" in page
    assert "bees/0.png" in json.dumps(run.outliers["names"])


def _classifier() -> nn.Module:
    return nn.Sequential(_Policy(2).body)


def test_categories_of_imagenet_and_labels_of_transformers(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32), dtype=np.uint8)
    checkpoints = _saved(tmp_path / "ckpts", models.squeezenet1_1)
    run = _compute(checkpoints, pixels, scale="imagenet", interventions=0, samples="0")
    units = run.manifest["names"]["units"]
    assert list(units.values()) == models.SqueezeNet1_1_Weights.DEFAULT.meta["categories"]
    config = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=32,
        patch_size=16, id2label={0: "cat", 1: "dog"}, label2id={"cat": 0, "dog": 1},
    )  # fmt: skip
    for step in (1, 2):
        ViTForImageClassification(config).save_pretrained(tmp_path / "vit" / f"checkpoint-{step}")
    run = _compute(tmp_path / "vit", pixels, scale=255, out=tmp_path / "of-vit")
    assert run.manifest["names"]["units"] == {"0": "cat", "1": "dog"}
    assert run.manifest["names"]["from"]["units"] == "config.json"


@pytest.mark.parametrize("count", [3, 7])
def test_names_of_another_number_of_units_are_not_taken(tmp_path: Path, count: int) -> None:
    checkpoints = _saved(tmp_path / "ckpts", lambda: _Policy(count).body)
    array = np.zeros((2, 1, 84, 84), dtype=np.float32)
    names = tmp_path / "names.toml"
    names.write_text("[units]\n6 = 'last'\n")
    options = {"arch": f"{__file__}:_of", "arch_args": {"actions": count}, "names": names}
    if count == 3:
        with pytest.raises(UsageError, match="there is no unit 6"):
            _compute(checkpoints, array, **options)
    else:
        run = _compute(checkpoints, array, **options)
        assert run.manifest["names"]["units"] == {"6": "last"}


def _of(actions: int) -> nn.Module:
    return _Policy(actions).body
