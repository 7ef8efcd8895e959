"""How fast checkpoints are explained on a GPU, how much of the time it works, and Zennit next to it.

Run by hand: ``python -m tests.benchmarks.device``. It makes its own data, state dicts of ResNet-18
(torchvision's, 3 x 64 x 64, ten classes) and of NatureCNN (4 x 84 x 84), and runs whole processes, one
after the other:

lrpdyn
    ``lrpdyn compute``, everything that it does by default included, with threads for sums on all cores.
maps
    The same without faithfulness and interventions, whose time has a share of its own.
zennit
    A loop that loads each checkpoint, explains it with Zennit's ZPlus and stores the maps, which are
    lrpdyn's up to a stabiliser. It measures, sums up and checks nothing.

Time for each checkpoint is marginal: (time of many - time of few) / (many - few), so that what is done
once has no part in it; where the last run has hardly more, it is the time of its loop over them. So is
the share of the time in which the device works, as ``nvidia-smi`` sees it every 0.2 s: some kernel ran,
however small. Only ``--files`` checkpoints are different files. All of it takes ``--minutes`` at most:
fewer checkpoints are explained where the time would not do, and the table says how many.

``--device cpu --checkpoints 4`` shows on any machine that it runs: with two observations, for the checks
of 64 would take minutes.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.device_ways import NETWORKS, SHAPES, linked, write_files, write_observations

WAYS = ("lrpdyn", "maps", "zennit")
#: So many times more checkpoints than in the first runs, which say how many there is time for.
MANY = 50
#: So many times more are needed for the difference of both runs to tell anything.
TELLING = 5
#: Of the time that is left, what is planned with.
PLANNED = 0.8


def command_of(way: str, network: str, checkpoints: Path, out: Path, device: str) -> list[str]:
    """Return the command of one way."""
    observations = str(checkpoints.parent / "observations.npy")
    if way == "zennit":
        return [sys.executable, "-m", "tests.benchmarks.device_ways", network, str(checkpoints),
                observations, str(out), device]  # fmt: skip
    without = [] if way == "lrpdyn" else ["--faithfulness", "none", "--interventions", "0"]
    own = Path(__file__).with_name("device_ways.py")
    arch = "torchvision:resnet18" if network == "resnet18" else f"{own}:{network}"
    return [sys.executable, "-m", "lrpdyn", "compute", str(checkpoints), observations, "-o",
            str(out), "--arch", arch, "--device", device, "--profile", "-q", *without,
            *(["--workers", "1"] if device == "cpu" else [])]  # fmt: skip


@contextmanager
def watched(device: str) -> Iterator[list[float]]:
    """Give a list that gets, at the end, the shares of time in which a GPU worked; of others, none."""
    found: list[float] = []
    if not device.startswith("cuda") or shutil.which("nvidia-smi") is None:
        yield found
        return
    command = ["nvidia-smi", f"--id={device.partition(':')[2] or 0}", "-lms", "200",
               "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]  # fmt: skip
    watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield found
    finally:
        watch.terminate()
        said, _ = watch.communicate()
        # Some say [N/A]; the last line may be cut.
        found += [int(line) / 100 for line in said.splitlines()[:-1] if line.strip().isdigit()]


def timed(command: list[str], device: str, longest: float) -> dict[str, Any] | None:
    """Return seconds of a process, of its loop, and in which the device worked; None beyond `longest`."""
    start = time.perf_counter()
    with watched(device) as shares:
        try:
            done = subprocess.run(
                command, check=False, timeout=longest, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return None
        taken = time.perf_counter() - start
    loop = re.search(r"^ +explaining +([\d.]+)", done.stderr, re.MULTILINE)
    if done.returncode or loop is None:
        raise SystemExit(f"{' '.join(command)}\nended with {done.returncode}: {done.stderr}")
    busy = taken * sum(shares) / len(shares) if shares else None
    return {"seconds": taken, "loop": float(loop[1]), "busy": busy}


def affordable(few: int, found: list[dict[str, Any]], seconds: float, most: int) -> int:
    """Return how many checkpoints, of `most`, all ways can explain in so many seconds."""
    once = sum(one["seconds"] - one["loop"] for one in found)
    each = sum(one["loop"] for one in found) / few
    return max(few, min(most, int((PLANNED * seconds - once) / each)))


def row_of(few: int, many: int, first: dict[str, Any] | None, last: Any) -> dict[str, Any]:
    """Return a row of the table; where there are hardly more in the last run, of its loop alone."""
    row = {"few": few if first else None, "many": many, "first": first, "last": last}
    if last is None:
        return {**row, "each": None, "works": None}
    if first is None or many < TELLING * few:
        works = None if last["busy"] is None else last["busy"] / last["seconds"]
        return {**row, "each": last["loop"] / many, "works": works}
    more = last["seconds"] - first["seconds"]
    works = None if last["busy"] is None else (last["busy"] - first["busy"]) / more
    return {**row, "each": more / (many - few), "works": works}


def measured(
    network: str, given: argparse.Namespace, folder: Path, until: float
) -> dict[str, dict[str, Any]]:
    """Run every way, few checkpoints first; return its row of the table."""
    files = min(given.files, given.checkpoints)
    write_files(folder / "files", network, files)
    write_observations(folder / "observations.npy", network, given.observations)

    def run(way: str, count: int) -> dict[str, Any] | None:
        checkpoints, out = folder / str(count), folder / "out"
        if not checkpoints.exists():
            linked(folder / "files", checkpoints, count, files)
        longest = max(1.0, until - time.perf_counter())
        found = timed(
            command_of(way, network, checkpoints, out, given.device), given.device, longest
        )
        shutil.rmtree(out, ignore_errors=True)
        return found

    few, many = given.checkpoints // MANY, given.checkpoints
    first: dict[str, Any] = dict.fromkeys(WAYS)
    if few > 1:
        first = {way: run(way, few) for way in WAYS}
        known = [one for one in first.values() if one is not None]
        many = affordable(few, known, until - time.perf_counter(), many) if known else few
    rows = {}
    for way in WAYS:
        last = first[way] if many == few else run(way, many)
        rows[way] = row_of(few, many, first[way], last)
    return rows


def main() -> None:
    """Print the tables and write JSON."""
    began = time.perf_counter()
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--checkpoints", type=int, default=1000)
    parser.add_argument("--files", type=int, default=100, help="so many different checkpoints")
    parser.add_argument("--observations", type=int, help="64, on the CPU 2")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--data", type=Path, help="where the data are made; a folder of its own")
    parser.add_argument("--json", type=Path, default=Path("device.json"))
    given = parser.parse_args()
    on_gpu = given.device.startswith("cuda")
    if on_gpu and not torch.cuda.is_available():
        raise SystemExit("no GPU is at hand; --device cpu --checkpoints 4 shows that it would run")
    given.observations = given.observations or (64 if on_gpu else 2)
    name = torch.cuda.get_device_name(given.device) if on_gpu else given.device
    print(f"{name}, {given.observations} observations, zplus", flush=True)
    networks, tables = given.networks.split(","), {}
    for place, network in enumerate(networks):
        left = began + 60 * given.minutes - time.perf_counter()
        until = time.perf_counter() + left / (len(networks) - place)
        with tempfile.TemporaryDirectory(dir=given.data) as folder:
            tables[network] = measured(network, given, Path(folder), until)
        show(network, tables[network], given.checkpoints)
    options = {key: str(value) for key, value in vars(given).items()}
    found = {"device": name, "torch": torch.__version__, "options": options, "networks": tables}
    given.json.write_text(json.dumps(found, indent=1))


def show(network: str, table: dict[str, dict[str, Any]], asked: int) -> None:
    """Print the table of one network."""
    many = next(iter(table.values()))["many"]
    size = " x ".join(map(str, SHAPES[network]))
    print(f"{network} ({size}), {many:,} checkpoints of the {asked:,} asked for")
    print(f"  {'':<8}{'few, s':>9}{'many, s':>9}{'ms each':>10}{'works':>8}")
    for way, row in table.items():
        first, last = ("" if one is None else f"{one['seconds']:.2f}"
                       for one in (row["first"], row["last"]))  # fmt: skip
        each = "no time" if row["each"] is None else f"{1e3 * row['each']:.1f}"
        works = "" if row["works"] is None else f"{row['works']:.0%}"
        print(f"  {way:<8}{first:>9}{last:>9}{each:>10}{works:>8}", flush=True)


if __name__ == "__main__":
    main()
