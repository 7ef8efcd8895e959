"""lrpdyn architectures: what --arch takes, and a file to start from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from lrpdyn.architectures.template import MyNet
from tests.checkpoints.networks import under
from tests.cli.processes import lrpdyn


def test_what_is_registered_is_listed(tmp_path: Path) -> None:
    assert "cleanrl-ppo-atari" in lrpdyn("architectures", cwd=tmp_path).stdout


def test_all_are_listed_with_their_heads(tmp_path: Path) -> None:
    listed = json.loads(lrpdyn("architectures", "--format", "json", cwd=tmp_path).stdout)
    heads = {row["name"]: row["heads"] for row in listed}
    assert heads["cleanrl-ppg-procgen"] == ["policy", "value", "auxiliary-value"]
    assert heads["mlp"] == ["logits"]
    lines = lrpdyn("architectures", cwd=tmp_path).stdout.splitlines()
    families = ["hf:NAME", "torchvision:NAME", "timm:NAME"]
    assert [line.split()[0] for line in lines] == [*heads, *families]
    assert lines[-1].endswith("heads logits          any of timm's classifiers")


def test_the_template_is_a_network_that_works(tmp_path: Path) -> None:
    printed = lrpdyn("architectures", "--template", cwd=tmp_path)
    own_file = tmp_path / "my_net.py"
    own_file.write_text(printed.stdout)
    (tmp_path / "ckpts").mkdir()
    for step in (1, 2):
        torch.manual_seed(step)
        torch.save(under("agent.", MyNet(actions=3).state_dict()), tmp_path / f"ckpts/a_{step}.pt")
    np.save(tmp_path / "obs.npy", np.zeros((1, 4, 84, 84), np.uint8) + 7)
    command = [sys.executable, "-m", "lrpdyn", "compute", "ckpts", "obs.npy", "--scale", "255",
               "--arch", "my_net.py:MyNet", "--arch-arg", "actions=3", "--head", "policy",
               "--baseline", "none"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
