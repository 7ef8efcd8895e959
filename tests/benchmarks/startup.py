"""What starting costs, whole processes in turns, medians of one run.

Run by hand: ``python tests/benchmarks/startup.py``. It saves two agents of Stable-Baselines3, some 20 MB
each, into a temporary folder. Wall time, and the time of all cores, which other work on the machine
changes less.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

REPEATS = 7
FLOOR, JOB, AGAIN = "import torch, captum.attr", "lrpdyn compute", "the same, finished"


@dataclass(frozen=True)
class Times:
    """Seconds of one process."""

    wall: float
    cores: float


def times(command: list[str], where: Path) -> Times:
    """Run one process."""
    start = perf_counter()
    process = subprocess.Popen(
        command, cwd=where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return Times(perf_counter() - start, usage.ru_utime + usage.ru_stime)


def write_data(where: Path) -> None:
    """Save two agents that took a training step each, and four observations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gymnasium and Stable-Baselines3 warn about each other
        from stable_baselines3 import PPO
        from stable_baselines3.common.envs import FakeImageEnv

        env = FakeImageEnv(screen_height=84, screen_width=84, n_channels=4, channel_first=True)
        model = PPO("CnnPolicy", env, n_steps=16, batch_size=16, n_epochs=1, seed=0, device="cpu")
        for step in (16, 32):
            model.learn(16, reset_num_timesteps=False)
            model.save(where / f"ckpts/ppo_{step}_steps.zip")
    frames = np.random.default_rng(0).integers(0, 256, (4, 4, 84, 84), dtype=np.uint8)
    np.save(where / "obs.npy", frames)


def main() -> None:
    """Print the table."""
    python = [sys.executable, "-m", "lrpdyn"]
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        FLOOR: [sys.executable, "-c", FLOOR],
        JOB: [*python, "compute", "ckpts", "obs.npy"],
        AGAIN: [*python, "compute", "ckpts", "obs.npy"],
        "lrpdyn --help": [*python, "--help"],
        "lrpdyn outliers": [*python, "outliers"],
    }
    found: dict[str, list[Times]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as name:
        where = Path(name)
        write_data(where)
        for path in where.rglob("*"):
            os.utime(path, (0, 0))  # what has just changed is not remembered as it is
        for _ in range(REPEATS):
            shutil.rmtree(where / "lrpdyn-run", ignore_errors=True)
            for of, command in commands.items():
                found[of].append(times(command, where))
    wall = {of: statistics.median(each.wall for each in many) for of, many in found.items()}
    cores = {of: statistics.median(each.cores for each in many) for of, many in found.items()}
    print(f"{'':<26} {'wall':>8} {'of floor':>9} {'cores':>8} {'of floor':>9}")
    for of in commands:
        print(
            f"{of:<26} {wall[of]:6.3f} s {wall[of] / wall[FLOOR]:9.3f} "
            f"{cores[of]:6.3f} s {cores[of] / cores[FLOOR]:9.3f}"
        )


if __name__ == "__main__":
    main()
