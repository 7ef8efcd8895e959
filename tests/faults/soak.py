"""A long run that is followed, with a restart every hundred checkpoints: memory and files stay flat.

Run by name, so many checkpoints (5,000 where not given), so many at a time (100):

    python tests/faults/soak.py [CHECKPOINTS] [AT_A_TIME]

Every round is one ``lrpdyn.compute(..., follow=True)`` in this process, which goes on where the one
before it stopped. It fails where files stay open, or memory grows by more than what the records of the
steps take.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import lrpdyn

#: KiB that a step's record and its rows may take, and MiB that the allocator may keep besides.
LARGEST_RECORD, SLACK = 24, 64


def resident() -> float:
    """Return the resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def open_files() -> int:
    """Return the number of open files."""
    return len(os.listdir("/proc/self/fd"))


def main() -> None:
    """Follow, restart, and tell what it takes."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    at_a_time = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    observations = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    first: tuple[float, int] | None = None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "ckpts")
        folder.mkdir()
        for begin in range(0, count, at_a_time):
            for step in range(begin, min(begin + at_a_time, count)):
                torch.save(network.state_dict(), folder / f"net_{step}_steps.pt")
                for weight in network.parameters():
                    weight.data += 0.02 * torch.randn_like(weight)
            started = time.perf_counter()
            run = lrpdyn.compute(
                folder, observations, out=Path(name, "run"), arch_args={"activation": "tanh"},
                follow=True, poll=0.05, idle=0.5, workers=1, quiet=True,
            )  # fmt: skip
            seconds = time.perf_counter() - started
            assert len(run.steps) == min(begin + at_a_time, count)
            del run
            gc.collect()
            memory, files = resident(), open_files()
            print(f"{begin + at_a_time:6,d} checkpoints  {memory:7.1f} MiB  {files:3d} files  "
                  f"{seconds:6.1f} s", flush=True)  # fmt: skip
            first = first or (memory, files)
            if files > first[1]:
                raise SystemExit(
                    f"{files - first[1]} more files are open than after the first round"
                )
            allowed = first[0] + SLACK + (begin + at_a_time) * LARGEST_RECORD / 1024
            if memory > allowed:
                raise SystemExit(f"{memory:.0f} MiB, expected at most {allowed:.0f}")


if __name__ == "__main__":
    main()
