"""Run folders and shards of a stranger: no traceback, no hang, no code run, no file outside touched.

Run by name, with the number of mutations in all, which two processes share:

    python -m tests.faults.fuzz_runs [--count N] [--seed N]

A mutation changes what a file says, its bytes, or what it is (a link, a FIFO, a folder), mostly with
hashes and seals that fit. Commands then run in this process, as at a shell.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lrpdyn
from lrpdyn.cli.main import _run
from lrpdyn.errors import LrpdynError
from lrpdyn.run.manifest import seal
from tests.faults.fuzz_checkpoints import Canary, mutate
from tests.faults.fuzz_readers import STRANGE

#: Seconds of computing that a command may take, and of waiting for something that never comes.
LONGEST, LONGEST_WAIT = 2.0, 30.0
MOST_MEMORY = 4 << 30
SECRET = "what a stranger must not read"
_TANH = {"activation": "tanh"}
_BYTES = ("flip", "set", "cut", "insert", "overwrite", "repeat", "swap")
_TOKENS = (
    b"\x00",
    b"\xff" * 8,
    b"(1 << 62,)",
    b"|O",
    b"-1",
    b"1e999",
    b"../../",
    b"nan",
    b"\n",
    b'"',
)


class HangError(BaseException):
    """A command took too long; nothing that handles errors takes it for one."""


@dataclass(kw_only=True)
class Scene:
    """A run, its two shards, their checkpoints, and what no command may touch; `hostile` are values."""

    folder: Path
    whole: Path
    hostile: tuple[Any, ...]
    before: dict[str, str] = field(default_factory=dict)

    @property
    def outside(self) -> Path:
        return self.folder / "outside"

    @property
    def executed(self) -> Path:
        return self.folder / "executed"

    def kept(self) -> dict[str, str]:
        """Return the digests of what has to stay as it is."""
        return {name: _digests(self.folder / name) for name in ("outside", "ckpts", "whole")}


def _digests(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{path}\n".encode() + content)
    return digest.hexdigest()


def make_scene(folder: Path) -> Scene:
    """Make a run of three checkpoints, its shards, and the files outside."""
    (folder / "ckpts").mkdir()
    (folder / "outside" / "relevance").mkdir(parents=True)
    whole, outside = folder / "whole", folder / "outside"
    torch.manual_seed(0)
    for step in (2, 4, 10):
        network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
        torch.save(network.state_dict(), folder / "ckpts" / f"net_{step}.pt")
    np.savez(folder / "regions.npz", left=np.arange(6) < 3)
    np.save(folder / "obs.npy", np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32))
    for name, shard in (("run", None), ("part-1", "1/2"), ("part-2", "2/2")):
        lrpdyn.compute(folder / "ckpts", folder / "obs.npy", out=whole / name, shard=shard, quiet=True,
                       regions=folder / "regions.npz", arch_args=_TANH, workers=1)  # fmt: skip
    torch.save({"x": Canary(str(folder / "executed"))}, outside / "evil.pt")
    (outside / "payload.py").write_text(
        f"import torch\nopen({str(folder / 'executed')!r}, 'w').close()\nmake = torch.nn.Identity\n"
    )
    for name in ("secret.txt", "metrics.csv", "journal.jsonl", "manifest.json"):
        (outside / name).write_text(SECRET)
    np.save(outside / "relevance" / "step_000000000002.npy", np.zeros((3, 6), np.float32))
    paths = [str(outside / name) for name in ("evil.pt", "secret.txt", "payload.py:make")]
    hostile = (*paths, "payload:make", "../../outside/secret.txt", "/dev/zero", "/proc/kcore", True,
               "s3://no.such/bucket", "\u202egnp.exe", "a\0b", "$\\frac$", "x" * 5000, 1 << 40)  # fmt: skip
    scene = Scene(folder=folder, whole=whole, hostile=(*hostile, *STRANGE))
    scene.before = scene.kept()
    return scene


def _places(found: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in plain data: what holds it, and its key."""
    items = list(found.items() if isinstance(found, dict) else enumerate(found))
    for key, value in items:
        yield found, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _say_otherwise(found: Any, scene: Scene, draw: random.Random) -> Any:
    """Change plain data at some places."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        places = list(_places(found)) if isinstance(found, dict | list) else []
        if not places:
            break
        inside, key = draw.choice(places)
        if draw.random() < 0.15:
            del inside[key]
        else:
            inside[key] = json.loads(json.dumps(draw.choice(scene.hostile)))
    return found


def _change_text(path: Path, scene: Scene, draw: random.Random) -> None:
    """Change what a JSON file, or a line of the journal, says."""
    text = path.read_text()
    if path.name != "journal.jsonl":
        path.write_text(json.dumps(_say_otherwise(json.loads(text), scene, draw)))
        return
    lines = [json.loads(line.partition(" ")[2]) for line in text.splitlines()]
    lines = [json.dumps(record) for record in _say_otherwise(lines, scene, draw)]
    path.write_text("".join(f"{zlib.crc32(line.encode()):08x} {line}\n" for line in lines))


def _change_bytes(path: Path, scene: Scene, draw: random.Random) -> None:
    content = path.read_bytes()
    reach = draw.choice((1.0, min(1.0, 128 / max(1, len(content)))))  # a header is where it hurts
    drawn = [(draw.choice(_BYTES), draw.random() * reach, draw.randrange(256), draw.choice(_TOKENS))
             for _ in range(draw.randint(1, 6))]  # fmt: skip
    path.write_bytes(mutate(content, drawn))


def _change_table(path: Path, scene: Scene, draw: random.Random) -> None:
    rows = [row.split(",") for row in path.read_text().splitlines()]
    cells = (
        "",
        "nan",
        "-1",
        "1e999",
        "9" * 5000,
        "x\u202e",
        "\x1b[2J",
        "99999999999999999999",
        '"',
    )
    for _ in range(draw.choice((1, 1, 3))):
        row = draw.choice(rows)
        row[draw.randrange(len(row))] = draw.choice(cells)
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")


def _replace(path: Path, scene: Scene, draw: random.Random) -> None:
    """Put a link, a FIFO, a socket, a folder or nothing in the place of a file or a folder."""
    kind = draw.choice(
        ("link", "link", "link", "folder link", "inside", "fifo", "socket", "folder", "gone")
    )
    is_folder = path.is_dir() and not path.is_symlink()
    shutil.rmtree(path) if is_folder else path.unlink(missing_ok=True)
    outside, name = scene.outside, path.name
    if kind == "link":
        there = [outside / name, outside / "secret.txt", outside / "new", Path("/dev/zero"), path]
        path.symlink_to(draw.choice(there))
    elif kind == "folder link":
        path.symlink_to(draw.choice((outside, outside / "relevance", Path("/dev"))))
    elif kind == "inside":
        path.symlink_to(draw.choice(("manifest.json", "relevance", "../journal.jsonl")))
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
            made.bind(name)  # a path has no more than 107 bytes
    elif kind == "folder":
        path.mkdir()


def _seal(run: Path, draw: random.Random) -> None:
    """Make hashes and the seal of a manifest anew, so that it fits what is there."""
    path = run / "manifest.json"
    with contextlib.suppress(ValueError, OSError, AttributeError, TypeError):
        found = json.loads(path.read_bytes() if path.is_file() and not path.is_symlink() else b"")
        for name in found.get("files") or {}:
            file = run / str(name)
            if file.is_file() and file.resolve().is_relative_to(run.resolve()):
                found["files"][name] = hashlib.sha256(file.read_bytes()).hexdigest()
        path.write_text(json.dumps({**found, "sha256": seal(found)}))


def change(run: Path, scene: Scene, draw: random.Random) -> str:
    """Mutate a run folder; return what was done."""
    files = [path for path in sorted(run.rglob("*")) if path.is_file() and not path.is_symlink()]
    texts = [path for path in files if path.suffix in (".json", ".jsonl")]
    tables = [
        path for path in files if path.name in ("metrics.csv", "transitions.csv", "layers.csv")
    ]
    folders = [path for path in run.iterdir() if path.is_dir() and not path.is_symlink()]
    new = [run / name for name in (".lock", ".lock.json", ".maps", "report.html", "notes")]
    ways: dict[str, tuple[Callable[[Path, Scene, random.Random], None], Sequence[Path]]] = {
        "text": (_change_text, texts), "bytes": (_change_bytes, files),
        "table": (_change_table, tables), "kind": (_replace, (*files, *folders, *new)),
    }  # fmt: skip
    way = draw.choice([name for name, (_, paths) in ways.items() for _ in range(3 if name == "text" else 1)
                       if paths])  # fmt: skip
    do, paths = ways[way]
    path = draw.choice(list(paths))
    try:
        do(path, scene, draw)
    except (ValueError, IndexError):  # changed before, to what is no text
        path.unlink()
    if draw.random() < 0.8:
        _seal(run, draw)
    return f"{way} of {path.relative_to(run)}"


def commands(work: Path, scene: Scene, on: str, draw: random.Random) -> list[list[str]]:
    """Return the commands that are tried on what lies in `work`: a run, or shards."""
    run, out = str(work / "run"), str(work / "out")
    if on != "run":
        parts = [str(work / name) for name in ("part-1", "part-2")]
        merge = ["merge", *parts, "-o", out, "-q"]
        return [["verify", str(work / on)], draw.choice((merge, merge, [*merge, "--overwrite"]))]
    compute = ["compute", str(scene.folder / "ckpts"), str(scene.folder / "obs.npy"), "-o", run, "-q",
               "--arch-arg", "activation=tanh", "--workers", "1", "--regions",
               str(scene.folder / "regions.npz")]  # fmt: skip
    whole = str(scene.whole / "run")
    light = [
        ["verify", run], ["verify", run, "--format", "json"], ["outliers", run],
        ["outliers", run, "--format", draw.choice(("json", "csv", "markdown"))],
        ["compare", whole, run], ["plot", run, "--kind", "terminal"],
        ["export", run, "--to", draw.choice(("csv", "zarr", "hdf5")), "-o", out],
    ]  # fmt: skip
    heavy = [compute, [*compute, "--overwrite"], [*compute, "--recompute", "4"], ["report", run],
             ["report", whole, run, "-o", str(work / "out.html")],
             ["plot", whole, run, "--kind", "runs", "-o", str(work / "out.png")],
             ["plot", run, "--kind", draw.choice(("raster", "trajectory", "dynamics"))]]  # fmt: skip
    chosen = draw.sample(light, 4)
    return [*chosen, draw.choice(heavy)] if draw.random() < 0.25 else chosen


def _read(run: Path) -> None:
    """Read all that a run gives in Python."""
    with contextlib.suppress(LrpdynError):
        opened = lrpdyn.open_run(run)
        for name in (
            "observations",
            "dynamics",
            "net_change",
            "metrics",
            "transitions",
            "outliers",
        ):
            with contextlib.suppress(LrpdynError):
                getattr(opened, name)
        for step in opened.steps[:3]:
            with contextlib.suppress(LrpdynError):
                opened.relevance[step].sum()


def _hangs(*_: object) -> None:
    raise HangError


def called(command: Sequence[str] | Callable[[], None]) -> tuple[str | None, str]:
    """Run a command as at a shell; return what is wrong with how it ended, and what it printed."""
    said = io.StringIO()
    arguments, sys.argv = sys.argv, ["lrpdyn", *([] if callable(command) else command)]
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_WAIT)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            command() if callable(command) else _run({"verbose": 0})
        return None, said.getvalue()
    except HangError:
        return f"hangs: {traceback.format_exc(limit=-4)}", said.getvalue()
    except SystemExit:
        return None, said.getvalue()
    except BaseException:
        return traceback.format_exc(limit=-6), said.getvalue()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.argv = arguments


def attempt(scene: Scene, number: int) -> tuple[Counter[str], list[str]]:
    """Try one mutation; return what came of it, and every harm."""
    draw = random.Random(number)
    work = scene.folder / f"work-{os.getpid()}"
    shutil.copytree(scene.whole, work)
    counts, harm = Counter({"mutations": 1}), []
    on = draw.choice(("run", "run", "part-1", "part-2"))
    done = [change(work / on, scene, draw) for _ in range(draw.choice((1, 1, 2)))]
    tried: list[Any] = commands(work, scene, on, draw)
    tried += [lambda: _read(work / on)] if on == "run" else []
    for command in tried:
        wrong, said = called(command)
        counts["refused" if "Error: " in said else "read"] += 1
        if SECRET in said:
            wrong = "printed what lies outside"
        if "\u202e" in said or "\x1b" in said:
            wrong = f"printed control characters: {said!r}"
        if scene.executed.exists():
            scene.executed.unlink()
            wrong = "ran code"
        if wrong is not None:
            named = "open_run" if callable(command) else " ".join(command)
            harm.append(f"{number}: {on}, {'; '.join(done)}: {named}: {wrong}")
    if scene.kept() != scene.before:
        harm.append(f"{number}: {on}, {'; '.join(done)}: {tried}: touched files outside")
        scene.before = scene.kept()
    shutil.rmtree(work)
    return counts, harm


def campaign(folder: Path, numbers: Sequence[int]) -> tuple[Counter[str], list[str]]:
    """Try mutations of these numbers."""
    signal.signal(signal.SIGPROF, _hangs)
    signal.signal(signal.SIGALRM, _hangs)
    counts: Counter[str] = Counter()
    harm: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scene = make_scene(folder)
        for on in ("run", "part-1"):  # libraries load what they need, once
            shutil.copytree(scene.whole, folder / "first")
            for _ in range(8):
                for command in commands(folder / "first", scene, on, random.Random(_)):
                    with contextlib.suppress(HangError):
                        called(command)
            shutil.rmtree(folder / "first")
        for number in numbers:
            more, wrong = attempt(scene, number)
            counts += more
            harm += wrong
            for line in wrong:
                print(line, flush=True)
    return counts, harm


def _share(numbers: Sequence[int], core: int) -> tuple[Counter[str], list[str]]:
    """Try some of the mutations, on one core and with bounded memory."""
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        return campaign(Path(folder), numbers)


def main() -> None:
    """Run the campaign on two cores; exit with 1 where there was any harm."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    begun, cores = time.monotonic(), sorted(os.sched_getaffinity(0))[:2]
    numbers = range(given.seed, given.seed + given.count)
    with get_context("spawn").Pool(len(cores)) as pool:
        shares = [(numbers[at :: len(cores)], core) for at, core in enumerate(cores)]
        found = pool.starmap(_share, shares)
    counts = sum((counts for counts, _ in found), Counter())
    harm = [line for _, lines in found for line in lines]
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    print(f"{told}; {len(harm)} did harm; {time.monotonic() - begun:.0f} s")
    sys.exit(1 if harm else 0)


if __name__ == "__main__":
    main()
