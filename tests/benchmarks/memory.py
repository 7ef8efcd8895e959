"""Peak memory of ``lrpdyn compute``, whole processes, as checkpoints and observations grow in number.

Run by hand, one part or both: ``python tests/benchmarks/memory.py [checkpoints] [observations]``. It
writes, into a temporary folder (`TMPDIR`), 20 files of random NatureCNN weights in Stable-Baselines3's
names and gives each many names as hard links; the runs take up to 6 GB there. The peak is that of the
largest process of a run, workers included (Linux: `ru_maxrss`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

#: Different files of weights; more checkpoints are other names of the same.
FILES = 20
CHECKPOINTS, OBSERVATIONS = (50, 200, 1000), (64, 1024, 4096)
WORKERS = (1, 2)

_WRITE = """
import sys, torch
from lrpdyn.architectures.frameworks.sb3 import ActorCritic
torch.manual_seed(0)
for n in range(int(sys.argv[2])):
    network = ActorCritic(6, 512, extractors=("features_extractor",), channels=4, convolved=3136)
    torch.save(network.state_dict(), f"{sys.argv[1]}/{n}.pt")
"""


def write_weights(folder: Path) -> None:
    """Write `FILES` files, in a process of its own: a child begins with its parent's peak memory."""
    folder.mkdir()
    subprocess.run([sys.executable, "-c", _WRITE, str(folder), str(FILES)], check=True)


def link_checkpoints(weights: Path, folder: Path, count: int) -> None:
    """Make a series of `count` checkpoints of the files in `weights`, in turn."""
    folder.mkdir()
    for n in range(count):
        os.link(weights / f"{n % FILES}.pt", folder / f"net_{1000 * n}_steps.pt")


def write_frames(path: Path, count: int) -> None:
    """Write stacks of frames, a few at a time."""
    generator = np.random.default_rng(0)
    frames = np.lib.format.open_memmap(path, "w+", np.uint8, (count, 4, 84, 84))
    for start in range(0, count, 64):
        part = frames[start : start + 64]
        part[...] = generator.integers(0, 256, part.shape, dtype=np.uint8)


def peak(command: Sequence[str], where: Path) -> tuple[float, float, float]:
    """Return the peak resident memory in MiB, seconds, and seconds of CPU, of a process and its own."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as notes:
        process = subprocess.Popen(command, cwd=where, stdout=subprocess.DEVNULL, stderr=notes)
        # Of a process that is waited for, its usage holds that of those that it waited for.
        _, status, usage = os.wait4(process.pid, 0)
        notes.seek(0)
        if status:
            raise SystemExit(f"{' '.join(command)} failed:\n{notes.read().decode()}")
    seconds = time.perf_counter() - start
    return usage.ru_maxrss / 1024, seconds, usage.ru_utime + usage.ru_stime


def measure(where: Path, what: str, sizes: Sequence[int]) -> list[dict[str, float | str]]:
    """Run and print one row for each number of workers and each size, with ratios to the first."""
    found: list[dict[str, float | str]] = []
    for workers in WORKERS:
        first = 0.0
        for size in sizes:
            series, frames = f"net{size}", "obs4.npy"
            if what == "observations":
                series, frames = "net3", f"obs{size}.npy"
            run = where / "run"
            command = [sys.executable, "-m", "lrpdyn", "compute", series, frames, "-q",
                       "--workers", str(workers), "-o", str(run)]  # fmt: skip
            memory, seconds, cpu = peak(command, where)
            shutil.rmtree(run)
            first = first or memory
            print(
                f"{size:5d} {what}, {workers} worker{'s' * (workers > 1)}: {memory:7.1f} MiB, "
                f"{memory / first:.3f} of the first; {seconds:6.1f} s, {cpu:6.1f} s of CPU, "
                f"{1000 * cpu / size:6.1f} ms each",
                flush=True,
            )
            found.append(
                {"of": what, "size": size, "workers": workers, "mib": memory,
                 "ratio": memory / first, "seconds": seconds, "cpu": cpu}
            )  # fmt: skip
    return found


def main(parts: Sequence[str]) -> None:
    """Print the tables; the last line is all of it as JSON."""
    found: list[dict[str, float | str]] = []
    with tempfile.TemporaryDirectory() as name:
        where = Path(name)
        write_weights(where / "weights")
        if "checkpoints" in parts:
            write_frames(where / "obs4.npy", 4)
            for count in CHECKPOINTS:
                link_checkpoints(where / "weights", where / f"net{count}", count)
            found += measure(where, "checkpoints", CHECKPOINTS)
        if "observations" in parts:
            link_checkpoints(where / "weights", where / "net3", 3)
            for count in OBSERVATIONS:
                write_frames(where / f"obs{count}.npy", count)
            found += measure(where, "observations", OBSERVATIONS)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:] or ("checkpoints", "observations"))
