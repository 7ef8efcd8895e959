"""Bytes that ``lrpdyn compute`` takes from an S3 server for 20 MB Stable-Baselines3 zips.

Run by hand: ``python -m tests.benchmarks.remote [--workers N]``. A short real PPO run on images saves the
checkpoints, with their optimizer; moto's server on loopback serves them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np

from tests.remote.object_store import object_store


def save_run(folder: Path, checkpoints: int) -> None:
    """Train PPO for real, for a moment, and save a zip each 16 steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from stable_baselines3 import PPO
        from stable_baselines3.common.callbacks import CheckpointCallback
        from stable_baselines3.common.envs import FakeImageEnv

        env = FakeImageEnv(screen_height=84, screen_width=84, n_channels=4, channel_first=True)
        model = PPO("CnnPolicy", env, n_steps=16, batch_size=16, n_epochs=1, seed=0, device="cpu")
        # The callback saves before the step's update: the first would have an empty optimizer.
        model.learn(16)
        model.learn(
            16 * checkpoints,
            callback=CheckpointCallback(16, str(folder)),
            reset_num_timesteps=False,
        )


def main() -> None:
    """Print the sizes of the run, and what was transferred."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoints", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, object_store() as store:
        where = Path(name)
        save_run(where / "run", options.checkpoints)
        frames = np.random.default_rng(0).integers(0, 256, (4, 4, 84, 84), dtype=np.uint8)
        np.save(where / "run" / "obs.npy", frames)
        store.upload(where / "run", "bucket/run")
        zips = sorted((where / "run").glob("*.zip"))
        weights = sum(zipfile.ZipFile(path).getinfo("policy.pth").file_size for path in zips)
        total = sum(path.stat().st_size for path in zips)
        command = [sys.executable, "-m", "lrpdyn", "compute", "s3://bucket/run",
                   "s3://bucket/run/obs.npy", "-q", "-o", str(where / "out"),
                   "--workers", str(options.workers)]  # fmt: skip
        environment = {**os.environ, **store.environment, "LRPDYN_CACHE": str(where / "cache")}
        print(
            f"{len(zips)} zips of {total / len(zips) / 1e6:.1f} MB, {weights / 1e6:.1f} MB weights"
        )
        for what in ("first run", "again, from the cache"):
            start, sent = time.perf_counter(), store.counter.sent
            subprocess.run(
                [*command, "--overwrite"], check=True, env=environment, stdout=subprocess.DEVNULL
            )
            sent = store.counter.sent - sent
            seconds = time.perf_counter() - start
            print(
                f"{what}: {sent / 1e6:.2f} MB transferred, {sent / weights:.3f} x the weights, "
                f"{seconds:.1f} s"
            )


if __name__ == "__main__":
    main()
