"""Peak memory of ``lrpdyn compute`` for 20 and for 200 checkpoints, whole processes.

Run by hand: ``python tests/benchmarks/memory.py``. It writes 1.4 GB of random NatureCNN weights, in
Stable-Baselines3's names, into a temporary folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from lrpdyn.architectures.sb3 import ActorCritic


def write_checkpoints(folder: Path, count: int) -> None:
    """Write `count` state dicts of different weights."""
    folder.mkdir()
    torch.manual_seed(0)
    for step in range(count):
        network = ActorCritic(
            6, 512, extractors=("features_extractor",), channels=4, convolved=3136
        )
        torch.save(network.state_dict(), folder / f"net_{step}_steps.pt")


def peak(command: list[str], where: Path) -> tuple[float, float]:
    """Return the peak resident memory in MiB of one process, and its seconds."""
    process = subprocess.Popen(command, cwd=where, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        where = Path(name)
        frames = np.random.default_rng(0).integers(0, 256, (4, 4, 84, 84), dtype=np.uint8)
        np.save(where / "obs.npy", frames)
        found = {}
        for count in (20, 200):
            write_checkpoints(where / f"ckpts{count}", count)
            command = [sys.executable, "-m", "lrpdyn", "compute", f"ckpts{count}", "obs.npy", "-q",
                       "-o", f"run{count}"]  # fmt: skip
            found[count], seconds = peak(command, where)
            print(f"{count:4d} checkpoints: {found[count]:7.1f} MiB peak, {seconds:6.1f} s of CPU")
        print(f"ratio {found[200] / found[20]:.4f}")


if __name__ == "__main__":
    main()
