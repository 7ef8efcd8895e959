"""How large the page of a run is, and how long and how much memory `lrpdyn report` takes.

Run by hand: ``python -m tests.benchmarks.report_page [STEPSxSAMPLES ...]``. The
checkpoints are those of a small convolutional network whose weights walk at random, with a jump here
and there; `lrpdyn compute` explains them, in a temporary folder (2 GB for 1,000 steps of 16 samples).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

NETWORK = """
from torch import nn

def network():
    return nn.Sequential(nn.Conv2d(4, 8, 8, 4), nn.ReLU(), nn.Conv2d(8, 16, 4, 2), nn.ReLU(),
                         nn.Flatten(), nn.Linear(1296, 4))
"""


def main() -> None:
    """Print a line for each kind of run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=["200x4", "1000x16"], help="STEPSxSAMPLES")
    parser.add_argument("--rule", default="epsilon", help="epsilon: maps of both signs, all noise")
    for kind in (given := parser.parse_args()).kinds:
        steps, samples = map(int, kind.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), steps, samples, given.rule)


def measure(folder: Path, steps: int, samples: int, rule: str) -> None:
    """Make a run, write its page, print what that took."""
    save_checkpoints(folder / "ckpts", steps)
    (folder / "network.py").write_text(NETWORK)
    generator = np.random.default_rng(0)
    np.save(folder / "obs.npy", generator.integers(0, 256, (samples, 4, 84, 84), dtype=np.uint8))
    command = [sys.executable, "-m", "lrpdyn", "compute", "ckpts", "obs.npy", "--rule", rule, "-q",
               "--arch", "network.py:network", "--scale", "255"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "lrpdyn", "report"], cwd=folder, env=environment
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.returncode
    seconds = time.perf_counter() - started
    size = (folder / "lrpdyn-run" / "report.html").stat().st_size
    print(
        f"{steps:,} steps x {samples} samples, {rule}: {seconds:.1f} s, "
        f"{usage.ru_maxrss / 1024:.0f} MiB at most, page {size / 1e6:.1f} MB",
        flush=True,
    )


def save_checkpoints(folder: Path, steps: int) -> None:
    """Save state dicts of a network whose weights walk, with a jump at every 97th step."""
    folder.mkdir()
    torch.manual_seed(0)
    scope: dict[str, object] = {}
    exec(NETWORK, scope)
    network = scope["network"]()  # type: ignore[operator]
    assert isinstance(network, nn.Module)
    for step in range(steps):
        torch.save(network.state_dict(), folder / f"net_{1000 * step}.pt")
        by = 0.1 if step % 97 == 96 else 0.004
        with torch.no_grad():
            for weights in network.parameters():
                weights += by * torch.randn_like(weights)


if __name__ == "__main__":
    main()
