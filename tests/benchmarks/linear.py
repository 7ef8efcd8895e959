"""Is time linear in checkpoints and in observations? Whole processes, and the straight line through them.

Run by hand: ``python -m tests.benchmarks.linear``. Up to 5,000 small Stable-Baselines3 checkpoints (an
MLP on 8 numbers, with its optimizer) of 16 observations, then 4 PPO checkpoints of 20 MB on up to
2,048 observations.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from tests.benchmarks.speed import timed
from tests.benchmarks.speed_data import write_checkpoints, write_frames

CHECKPOINTS = (250, 500, 1000, 2000, 5000)
OBSERVATIONS = (128, 256, 512, 1024, 2048)


def write_small(folder: Path, count: int) -> None:
    """Save a small PPO `count` times, its weights moved by its optimizer between."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    environment = DummyVecEnv([lambda: gymnasium.make("CartPole-v1")])
    agent = PPO("MlpPolicy", environment, n_steps=2, batch_size=2, device="cpu")
    for n in range(1, count + 1):
        for parameter in agent.policy.parameters():
            parameter.grad = torch.randn_like(parameter) * 1e-3
        agent.policy.optimizer.step()
        agent.num_timesteps = 1000 * n
        agent.save(folder / f"ppo_{1000 * n}_steps.zip")


def fit(name: str, counts: list[int], seconds: list[float]) -> None:
    """Print the straight line through the times, and how far they are from it."""
    slope, start = np.polyfit(counts, seconds, 1)
    line = start + slope * np.array(counts)
    rest = 1 - float(((seconds - line) ** 2).sum()) / float(np.var(seconds) * len(seconds))
    print(f"{name}: {start:.2f} s + {1e3 * slope:.2f} ms each, R^2 {rest:.4f}; largest deviation "
          f"{float(np.abs(seconds / line - 1).max()):.1%}")  # fmt: skip


def main() -> None:
    """Print the tables and the fits."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        where = given.data or Path(name)
        small = where / "small"
        if not small.exists():
            write_small(small, max(CHECKPOINTS))
        np.save(where / "small.npy", np.random.default_rng(0).normal(size=(16, 4)).astype("f4"))
        seconds = []
        for count in CHECKPOINTS:
            taken, peak = timed(
                [*_compute(where, small, "small.npy"), "--until", str(1000 * count)]
            )
            seconds.append(taken)
            print(f"{count:6d} checkpoints {taken:8.2f} s {peak:7.0f} MiB", flush=True)
        fit("checkpoints", list(CHECKPOINTS), seconds)
        write_checkpoints(where / "ckpts", 4)
        seconds = []
        for count in OBSERVATIONS:
            write_frames(where / f"obs{count}.npy", count)
            taken, peak = timed(
                [*_compute(where, where / "ckpts", f"obs{count}.npy"), "--until", "4000"]
            )
            seconds.append(taken)
            print(f"{count:6d} observations {taken:8.2f} s {peak:7.0f} MiB", flush=True)
        fit("observations", list(OBSERVATIONS), seconds)


def _compute(where: Path, checkpoints: Path, observations: str) -> list[str]:
    out = where / "linear-run"
    return [sys.executable, "-m", "lrpdyn", "compute", str(checkpoints), str(where / observations),
            "-o", str(out), "--overwrite", "-q"]  # fmt: skip


if __name__ == "__main__":
    main()
