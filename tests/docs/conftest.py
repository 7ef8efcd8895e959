"""What the pages speak of: a training run on Pong's frames, small here, and a run of lrpdyn on it."""

from __future__ import annotations

import csv
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

STEPS = range(0, 1_200_000, 100_000)
#: Of frames of which pages name samples up to 2, and draw more.
SAMPLES, MORE_SAMPLES = 3, 6


def frames(count: int) -> np.ndarray:
    """Return stacks of four frames of something like Pong, uint8 (count, 4, 84, 84)."""
    drawn = np.full((count, 4, 84, 84), 87, dtype=np.uint8)
    drawn[:, :, 9:14] = drawn[:, :, 77:] = 236
    drawn[:, :, 2:7, 20:23] = 148
    for sample in range(count):
        for age in range(4):
            column, row = 20 + 7 * sample - 2 * age, 30 + 4 * sample + age
            drawn[sample, 3 - age, row : row + 2, column : column + 2] = 236
            drawn[sample, 3 - age, row - 3 : row + 5, 8:11] = 148
            drawn[sample, 3 - age, row - 6 : row + 2, 73:76] = 147
    return drawn


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages call ckpts/, obs.npy, obs64.npy and progress.csv.

    PPO of Stable-Baselines3 learns a little between two checkpoints; its steps are counted as if they
    were Pong's.
    """
    folder = tmp_path_factory.mktemp("training")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gymnasium and Stable-Baselines3 warn about each other
        from stable_baselines3 import PPO
        from stable_baselines3.common.envs import FakeImageEnv

        env = FakeImageEnv(screen_height=84, screen_width=84, n_channels=4, channel_first=True)
        model = PPO("CnnPolicy", env, n_steps=8, batch_size=8, n_epochs=1, seed=0, device="cpu")
        for step in STEPS:
            model.num_timesteps = step
            model.save(folder / "ckpts" / f"rl_model_{step}_steps.zip")
            model.learn(8)
    np.save(folder / "obs.npy", frames(SAMPLES))
    np.save(folder / "obs64.npy", frames(MORE_SAMPLES))
    with open(folder / "progress.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["time/total_timesteps", "rollout/ep_rew_mean"])
        rows.writerows((step, -21 + step / 1e5) for step in STEPS)
    return folder


@pytest.fixture(scope="session")
def finished_run(training: Path) -> Path:
    """The run folder of the README's first command."""
    command = [sys.executable, "-m", "lrpdyn", "compute", "ckpts/", "obs.npy", "-q"]
    subprocess.run(command, cwd=training, check=True, capture_output=True)
    return training / "lrpdyn-run"
