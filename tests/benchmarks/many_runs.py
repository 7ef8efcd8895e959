"""Seconds and peak memory of ``lrpdyn compare`` for 16, 32 and 64 runs of 100 steps and 64 samples.

Run by hand: ``python -m tests.benchmarks.many_runs``. The runs are explained by lrpdyn itself: an MLP whose
weights walk. Eight walks are explained; the other runs are copies of these.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import lrpdyn

FEATURES, STEPS, SAMPLES, EXPLAINED = 16, 100, 64, 8


def write_run(folder: Path, seed: int) -> None:
    """Explain a walk of weights."""
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.manual_seed(seed)
    network = torch.nn.Sequential(
        torch.nn.Linear(FEATURES, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4)
    )
    for step in range(STEPS):
        with torch.no_grad():
            for weights in network.parameters():
                weights += 0.02 * torch.randn_like(weights)
        torch.save(network.state_dict(), checkpoints / f"net_{step}.pt")
    observations = np.random.default_rng(0).normal(size=(SAMPLES, FEATURES)).astype(np.float32)
    lrpdyn.compute(
        checkpoints, observations, out=folder / "run", arch_args={"activation": "relu"}, quiet=True,
        workers=1, baseline="none", faithfulness="none", interventions=0,
    )  # fmt: skip


def measure(runs: list[Path]) -> tuple[float, float]:
    """Return the seconds and the peak memory, in MiB, of comparing runs: of the largest process."""
    command = [sys.executable, "-m", "lrpdyn", "compare", *map(str, runs), "--format", "csv"]
    # A process begins with the peak of the one that begins it, which is large here: another lies between.
    program = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=True
    )
    return time.perf_counter() - begin, int(done.stdout) / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        where = given.data or Path(name)
        runs = [where / f"seed_{seed}" / "run" for seed in range(64)]
        for seed, run in enumerate(runs):
            if seed >= EXPLAINED:
                shutil.copytree(runs[seed % EXPLAINED], run, dirs_exist_ok=True)
            elif not run.exists():
                write_run(run.parent, seed)
        for count in (16, 32, 64):
            seconds, peak = measure(runs[:count])
            print(f"{count} runs: {seconds:.2f} s, {peak:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
