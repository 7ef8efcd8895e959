"""Discovery, shards and their merge on long series of tiny networks: seconds and peak memory.

Run by hand: ``python tests/benchmarks/shards.py [STEPS...]`` (1,000 and 10,000 where not given; 100,000
takes a quarter of an hour and 4 GB of disk). Each phase is a process of its own; what grows as the steps do
is linear, what is given for each step stays as it is. Memory is that of the libraries and, of each step,
its path and its numbers: a hundred thousand take less than 100 MiB more than a thousand.

The system counts the peak of a process from that of the one that starts it: checkpoints are written by yet
another, so that this one is small.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SHARDS = 4
DISCOVER = "import sys; from lrpdyn.checkpoints.discovery import discover; discover(sys.argv[1])"


def write_checkpoints(folder: Path, count: int) -> None:
    """Write `count` state dicts of a network that drifts."""
    import torch

    folder.mkdir()
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    with torch.no_grad():
        for step in range(count):
            torch.save(network.state_dict(), folder / f"net_{step}_steps.pt")
            for weight in network.parameters():
                weight += 0.02 * torch.randn_like(weight)


def measured(command: list[str], where: Path) -> tuple[float, float]:
    """Return the CPU seconds and the peak resident memory in MiB of a process and its children."""
    process = subprocess.Popen(command, cwd=where, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def tell(steps: int, what: str, found: tuple[float, float]) -> None:
    seconds, memory = found
    print(f"{steps:8,d} steps  {what:<14} {seconds:9.2f} s  {1000 * seconds / steps:7.3f} ms a step  "
          f"{memory:8.1f} MiB", flush=True)  # fmt: skip


def main() -> None:
    """Print the table."""
    spawned = multiprocessing.get_context("spawn")
    counts = [int(text.replace(",", "")) for text in sys.argv[1:]] or [1_000, 10_000]
    with tempfile.TemporaryDirectory() as name:
        where = Path(name)
        np.save(where / "obs.npy", np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32))
        lrpdyn = [sys.executable, "-m", "lrpdyn"]
        for steps in counts:
            folder = f"ckpts{steps}"
            writer = spawned.Process(target=write_checkpoints, args=(where / folder, steps))
            writer.start()
            writer.join()
            tell(steps, "discovery", measured([sys.executable, "-c", DISCOVER, folder], where))
            parts = [f"part{steps}-{number}" for number in range(1, SHARDS + 1)]
            for number, part in enumerate(parts, start=1):
                command = [*lrpdyn, "compute", folder, "obs.npy", "--arch-arg", "activation=tanh", "-q",
                           "-o", part, "--shard", f"{number}/{SHARDS}", "--workers", "1"]  # fmt: skip
                tell(steps, f"shard {number}/{SHARDS}", measured(command, where))
            size = sum((where / part / "manifest.json").stat().st_size for part in parts)
            print(f"{steps:8,d} steps  manifests      {size / steps:7.1f} bytes a step", flush=True)
            tell(
                steps,
                "merge",
                measured([*lrpdyn, "merge", *parts, "-q", "-o", f"run{steps}"], where),
            )


if __name__ == "__main__":
    main()
