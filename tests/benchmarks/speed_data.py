"""Real-size data for the benchmarks: Stable-Baselines3 PPO zips with their optimizer, and frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from torch import Tensor

ACTIONS = 6


class Frames(gymnasium.Env[Any, Any]):
    """Four stacked frames of 84 x 84 in, one of six actions out; nothing happens."""

    observation_space = gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    action_space = gymnasium.spaces.Discrete(ACTIONS)

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        return np.zeros((4, 84, 84), np.uint8), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros((4, 84, 84), np.uint8), 0.0, True, False, {}


def environment() -> VecEnv:
    """Return what PPO asks for its shapes."""
    return DummyVecEnv([Frames])


def write_checkpoints(folder: Path, count: int) -> None:
    """Save one PPO `count` times, its weights moved by one step of its optimizer between.

    About 20 MB each, of which the optimizer's state is two thirds. What is there is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [n for n in range(1, count + 1) if not checkpoint_path(folder, n).exists()]
    if not missing:
        return
    torch.manual_seed(missing[0])
    agent = PPO("CnnPolicy", environment(), n_steps=2, batch_size=2, device="cpu")
    optimizer = agent.policy.optimizer
    for n in missing:
        for parameter in agent.policy.parameters():
            parameter.grad = torch.randn_like(parameter) * 1e-3
        optimizer.step()
        agent.num_timesteps = 1000 * n
        agent.save(checkpoint_path(folder, n))


def checkpoint_path(folder: Path, n: int) -> Path:
    """Return where the `n`-th checkpoint is, from 1."""
    return folder / f"ppo_{1000 * n}_steps.zip"


def linked(source: Path, folder: Path, count: int) -> Path:
    """Return a folder of hard links to the first `count` checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(1, count + 1):
        link = checkpoint_path(folder, n)
        if not link.exists():
            link.hardlink_to(checkpoint_path(source, n))
    return folder


def write_frames(path: Path, count: int) -> None:
    """Write `count` observations (N, 4, 84, 84), uint8: bright bars on a dark ground, and noise."""
    if path.exists():
        return
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 40, (count, 4, 84, 84), dtype=np.uint8)
    for frame in frames:
        for plane in frame:
            row, column = generator.integers(0, 70, 2)
            plane[row : row + 12, column : column + 4] = generator.integers(120, 256)
    np.save(path, frames)


def scaled(frames: Any) -> Tensor:
    """Return observations as the network takes them."""
    return torch.from_numpy(np.ascontiguousarray(frames)).float() / 255
