"""How long light commands take, beside ``import torch``, whole processes, medians of one run.

Run by hand: ``python tests/benchmarks/startup.py RUN`` with the folder of a finished run.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

REPEATS = 7


def seconds(command: list[str]) -> float:
    """Return the wall time of one process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    run = sys.argv[1] if len(sys.argv) > 1 else "lrpdyn-run"
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "lrpdyn --help": [sys.executable, "-m", "lrpdyn", "--help"],
        "lrpdyn outliers": [sys.executable, "-m", "lrpdyn", "outliers", run],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(REPEATS):
        for name, command in commands.items():
            times[name].append(seconds(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:<16} {median:.3f} s  {median / medians['import torch']:.3f} of import torch")


if __name__ == "__main__":
    main()
