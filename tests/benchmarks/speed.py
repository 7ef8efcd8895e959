"""How long a run takes, beside what a user would write and beside the least that it could take.

Run by hand: ``python -m tests.benchmarks.speed``. It makes its own data, 220 Stable-Baselines3 PPO
zips of 20 MB with their optimizer (``--data DIR`` keeps them), and runs whole processes in turns:

naive
    `PPO.load` of each checkpoint, Captum's own Alpha1_Beta0_Rule, a loop in Python that writes each
    map and the sum of differences.
zennit N
    The same loop with Zennit's ZPlus in N processes, which writes what lrpdyn writes of each step and
    transition: maps, measures and sums, in NumPy.
lrpdyn N
    ``lrpdyn compute`` with N workers, everything that it does by default included.
maps N
    The same without faithfulness and interventions, whose time has a share of its own.
floor N
    Reading the weights, and plain forward, forward and backward, in N processes.

Time for each checkpoint is marginal: (time of many - time of few) / (many - few), medians of the
repeats. Peak memory is that of the largest process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WAYS = ("naive", "zennit 2", "lrpdyn 1", "lrpdyn 2", "maps 2", "floor 1", "floor 2")


def command_of(way: str, checkpoints: Path, observations: Path, out: Path) -> list[str]:
    """Return the command of one way."""
    name, _, workers = way.partition(" ")
    if name in ("lrpdyn", "maps"):
        without = [] if name == "lrpdyn" else ["--faithfulness", "none", "--interventions", "0"]
        return [sys.executable, "-m", "lrpdyn", "compute", str(checkpoints), str(observations), "-o",
                str(out), "--workers", workers, "-q", *without]  # fmt: skip
    return [sys.executable, "-m", "tests.benchmarks.speed_ways", name, str(checkpoints),
            str(observations), str(out), workers or "1"]  # fmt: skip


def timed(command: list[str]) -> tuple[float, float]:
    """Return the seconds of a process by the clock, and the peak memory of its largest, in MiB."""
    start = time.perf_counter()
    # A shell of its own: what `resource` says of children is of all that ever were.
    code = ("import json, resource, subprocess, sys; "
            "rc = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode; "
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(rc)")  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, *command], check=True, stdout=subprocess.PIPE, text=True
    )
    return time.perf_counter() - start, int(done.stdout) / 1024


def main() -> None:
    """Print the table and write JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--few", type=int, default=20)
    parser.add_argument("--many", type=int, default=220)
    parser.add_argument("--observations", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--json", type=Path, default=Path("speed.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.data or Path(name)
        table = measured(given, folder)
    floor = table.get("floor 2", table.get("floor 1"))
    print(f"{given.observations} observations, {given.few} -> {given.many} checkpoints, medians of "
          f"{given.repeats}")  # fmt: skip
    print(f"{'':<10}{'few, s':>9}{'many, s':>9}{'ms each':>9}{'peak MiB':>10}{'x floor':>9}")
    for way, row in table.items():
        row["of_floor"] = row["each"] / floor["each"] if floor else None
        ratio = "" if floor is None else f"{row['of_floor']:9.2f}"
        print(f"{way:<10}{row['few']:9.2f}{row['many']:9.2f}{1e3 * row['each']:9.1f}"
              f"{row['peak']:10.0f}{ratio}")  # fmt: skip
    given.json.write_text(json.dumps({"options": _plain(vars(given)), "ways": table}, indent=1))


def measured(given: argparse.Namespace, folder: Path) -> dict[str, dict[str, Any]]:
    """Run every way in turns; return its row of the table."""
    from tests.benchmarks.speed_data import linked, write_checkpoints, write_frames

    write_checkpoints(folder / "ckpts", given.many)
    observations = folder / f"obs{given.observations}.npy"
    write_frames(observations, given.observations)
    sets = {
        count: linked(folder / "ckpts", folder / f"{count}", count)
        for count in (given.few, given.many)
    }
    ways = given.ways.split(",")
    seconds: dict[tuple[str, int], list[float]] = {}
    peaks: dict[str, float] = {}
    for _ in range(given.repeats):
        for way in ways:
            for count, checkpoints in sets.items():
                out = folder / "out"
                shutil.rmtree(out, ignore_errors=True)
                taken, peak = timed(command_of(way, checkpoints, observations, out))
                os.sync()  # what one leaves to be written is not the next one's
                seconds.setdefault((way, count), []).append(taken)
                peaks[way] = max(peaks.get(way, 0.0), peak)
    table = {}
    for way in ways:
        few, many = (statistics.median(seconds[way, count]) for count in sets)
        each = (many - few) / (given.many - given.few)
        table[way] = {"few": few, "many": many, "each": each, "peak": peaks[way],
                      "all": {count: seconds[way, count] for count in sets}}  # fmt: skip
    return table


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value
            for name, value in options.items()}  # fmt: skip


if __name__ == "__main__":
    main()
