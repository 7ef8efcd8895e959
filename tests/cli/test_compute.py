"""lrpdyn compute, as a user types it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lrpdyn import open_run
from tests.cli.processes import lrpdyn


def test_a_finished_run_has_nothing_to_do(folder: Path, ppo_folder: Path) -> None:
    result = lrpdyn("compute", ppo_folder, "obs.npy", cwd=folder)
    assert result.returncode == 0
    assert "is finished: 4 steps; nothing to do" in result.stderr


def test_an_activation_that_no_file_says_is_asked_for_and_the_rest_is_said(tmp_path: Path) -> None:
    (tmp_path / "ck").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gymnasium and Stable-Baselines3 warn about each other
        from stable_baselines3 import PPO

        for seed in (1, 2):
            options = {"activation_fn": nn.ReLU, "net_arch": [8]}
            policy = PPO("MlpPolicy", "CartPole-v1", seed=seed, policy_kwargs=options).policy
            torch.save(policy.state_dict(), tmp_path / f"ck/m_{seed}_steps.pth")
    seen = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.save(tmp_path / "o.npy", seen)
    asked = lrpdyn("compute", "ck", "o.npy", cwd=tmp_path)
    assert asked.returncode == 1
    assert len(asked.stderr.splitlines()) == 1
    assert "--arch-arg activation=tanh" in asked.stderr
    given = ("--arch-arg", "activation=ReLU", "--baseline", "none")
    done = lrpdyn("compute", "ck", "o.npy", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = open_run(tmp_path / "lrpdyn-run")
    assumed = "; ".join(run.manifest["architecture"]["assumed"])
    assert f"CARE Of the network this is assumed: {assumed}." in " ".join(done.stderr.split())
    assert "does not say" in assumed
    assert "one discrete action" in assumed
    with torch.no_grad():
        logits = policy.get_distribution(torch.tensor(seen)).distribution.logits.numpy()
    wanted = logits.max(axis=1) - logits.mean(axis=1)
    np.testing.assert_allclose(run.metrics["score"][-3:], wanted, rtol=1e-4)
