"""Mutated files of the user's, and of a run: no traceback, no hang, no memory, no code run.

Run by name, a number of files for each reader (10,000 where not given):

    python -m tests.faults.fuzz_readers [FILES] [SEED] [READER...]
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import pickle
import resource
import shutil
import struct
import sys
import tempfile
import time
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

import lrpdyn
from lrpdyn.api import open_run
from lrpdyn.cli.compute import command as compute_command
from lrpdyn.comparison.compare import compare
from lrpdyn.comparison.text import as_table as compared
from lrpdyn.errors import LrpdynError
from lrpdyn.explain.targets import parse_target
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.observations.fixed_inputs import split_inputs
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import load_observations
from lrpdyn.observations.normalisation import from_options
from lrpdyn.observations.regions import read_regions
from lrpdyn.outliers.render import KINDS, RENDERERS
from lrpdyn.run.manifest import seal
from lrpdyn.run.series import table_series
from lrpdyn.run.summary import closing_lines
from lrpdyn.run.training_curve import read_curve
from lrpdyn.run.verify import verify
from tests.faults.fuzz_checkpoints import MUTATION, Canary, mutate, mutate_headers

#: Seconds of work: a machine that others use may stand still for longer.
LONGEST = 2.0
MOST_MEMORY = 1 << 30

Mutations = list[tuple[str, float, int, bytes]]

#: What JSON that is well formed may hold where something else is expected.
STRANGE = (
    None, True, -1, 0, 3, 2**63, 10**400, 1e308, -0.5, "", "x", "\x1b]0;title\x07\n<script>", "../../x",
    [], {}, [None], [[[]]], {"step": -1}, [1, "a"], "9" * 5000, "done", "bad", "pending",
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """Whole files of a kind; how they are mutated so that checksums fit; who reads them."""

    originals: list[bytes]
    read: Callable[[bytes], str]
    inside: Callable[[bytes, Mutations], bytes]


@dataclass
class Look:
    """Keeps count of what came of the files."""

    canary: Path
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    memory: int = 0

    def at(self, read: Callable[[bytes], str], payload: bytes) -> None:
        """Read a file.

        Raises
        ------
        AssertionError
            It took too long, took too much memory, or ran.
        """
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()
        try:
            outcome = read(payload)
        except (LrpdynError, click.ClickException):
            outcome = "refused"
        took = time.process_time() - start
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        self.outcomes[outcome] += 1
        self.slowest, self.memory = max(self.slowest, took), max(self.memory, grown)
        assert took < LONGEST, f"took {took:.1f} s"
        assert grown < MOST_MEMORY, f"took {grown:,} bytes"
        assert not self.canary.exists(), "ran code"


def attempt(*reads: Callable[[], Any]) -> str:
    """Call all of `reads`; each may refuse on its own."""
    outcome = "refused"
    for read in reads:
        try:
            read()
            outcome = "read"
        except LrpdynError:
            continue
    return outcome


def npy(folder: Path, canary: Path) -> Reader:
    path = folder / "file.npy"
    vectors = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    arrays = [vectors, np.array([0, 1, 2, 1, 0]), np.full(6, 0.5), np.zeros((2, 6), ">u2")]
    originals = [_npy(array) for array in arrays]
    evil = np.empty(1, object)
    evil[0] = Canary(str(canary))
    originals.append(_npy(evil))
    originals.append(pickle.dumps(Canary(str(canary))))

    def read(payload: bytes) -> str:
        path.write_bytes(payload)
        return attempt(
            lambda: load_observations([path], Expected(features=6)),
            lambda: load_observations([path], Expected(channels=3), stack=3),
            lambda: parse_target(str(path), 5, 3),
            lambda: from_options(str(path), str(path), None),
        )

    return Reader(originals, read, mutate)


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npz(folder: Path, canary: Path) -> Reader:
    path = folder / "file.npz"
    evil = np.empty(1, object)
    evil[0] = Canary(str(canary))
    masks = {"one": np.eye(4, dtype=bool), "two": np.zeros((2, 4, 4))}
    curve = {"timesteps": np.arange(5), "results": np.random.default_rng(0).normal(size=(5, 3))}
    inputs = {"image": np.zeros((2, 3, 4, 4), np.uint8), "vector": np.zeros((2, 5), np.float32)}
    originals = [_npz(curve), _npz(inputs), _npz({"x": np.zeros((2, 3, 4, 4))}), _npz({"x": evil})]
    originals += [_npz(masks), _npz(masks, np.savez_compressed)]
    takes_two = torch.nn.Identity()
    takes_two.held = {"vector": 5}  # type: ignore[assignment]

    def read(payload: bytes) -> str:
        path.write_bytes(payload)
        return attempt(
            lambda: load_observations([path], Expected(channels=3)),
            lambda: load_observations([f"{path}:one"], Expected(features=4)),
            lambda: split_inputs([path], takes_two),
            lambda: read_regions(path, (2, 3, 4, 4)),
            lambda: read_curve(str(path)),
        )

    def inside(payload: bytes, mutations: Mutations) -> bytes:
        return (mutate_headers if mutations[0][2] % 4 == 0 else _inside_zip)(payload, mutations)

    return Reader(originals, read, inside)


def _npz(arrays: dict[str, Any], save: Callable[..., None] = np.savez) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def _inside_zip(payload: bytes, mutations: Mutations) -> bytes:
    """Mutate the first array, and make the zip anew: its checksums fit."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(payload)) as archive,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as other,
    ):
        for number, name in enumerate(archive.namelist()):
            content = archive.read(name)
            other.writestr(name, mutate(content, mutations) if number == 0 else content)
    return buffer.getvalue()


def png(folder: Path, canary: Path) -> Reader:
    path = folder / "file.png"
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    labels = np.zeros((6, 5, 3), np.uint8)
    labels[:3, :, 0] = 255
    originals = [_picture(Image.fromarray(array)) for array in (pixels, pixels[..., 0], labels)]
    originals.append(_picture(Image.fromarray(labels).convert("P")))
    originals.append(_picture(Image.fromarray(pixels), "JPEG"))
    originals.append(_picture(Image.fromarray(pixels), "GIF"))

    def read(payload: bytes) -> str:
        path.write_bytes(payload)
        return attempt(
            lambda: load_observations([path], Expected(channels=3, divisor=255.0)),
            lambda: read_regions(path, (1, 3, 6, 5)),
        )

    return Reader(originals, read, _inside_png)


def _picture(image: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def _inside_png(payload: bytes, mutations: Mutations) -> bytes:
    """Mutate one of the chunks, whose checksums then fit."""
    if not payload.startswith(b"\x89PNG"):
        return mutate(payload, mutations)
    chunks, at = [], 8
    while at + 12 <= len(payload):
        (length,) = struct.unpack_from(">I", payload, at)
        chunks.append((payload[at + 4 : at + 8], payload[at + 8 : at + 8 + length]))
        at += length + 12
    chosen = mutations[0][2] % len(chunks)
    kind, content = chunks[chosen]
    chunks[chosen] = (kind, mutate(content, mutations) if content else mutations[0][3])
    made = [payload[:8]]
    for kind, content in chunks:
        made.append(struct.pack(">I", len(content)) + kind + content)
        made.append(struct.pack(">I", zlib.crc32(kind + content)))
    return b"".join(made)


def toml(folder: Path, canary: Path) -> Reader:
    path = folder / "file.toml"
    rules = b"""[[layers]]
rule = "zbox"
low = [0, 0, 0]
high = [1, 1, 1]
first = true
[[layers]]
rule = "gamma:0.25"
type = "convolution"
[[layers]]
rule = "epsilon"
name = "fc*"
"""
    config = b"""rule = "gamma:0.5"
arch-arg = {activation = "tanh", hidden = [64, 64]}
batch_size = 32
samples = "0-3"
scale = 255.0
overwrite = true
recompute = [1, 2]
workers = 2
since = 1979-05-27
"""

    def read(payload: bytes) -> str:
        path.write_bytes(payload)
        outcome = attempt(lambda: parse_composite(str(path)))
        compute_command.make_context(
            "compute", ["a", "b", "--config", str(path)], obj={"verbose": 0}
        )
        return "read" if outcome == "refused" else outcome

    return Reader([rules, config], read, mutate)


def csv(folder: Path, canary: Path) -> Reader:
    path = folder / "file.csv"
    progress = b"time/total_timesteps,rollout/ep_rew_mean,other\n" + b"".join(
        b"%d,%.3f,\n" % (step, step / 7) for step in range(40)
    )
    monitor = b'#{"t_start": 1.0}\nr,l,t\n' + b"1.5,10,0.1\n" * 20

    def read(payload: bytes) -> str:
        path.write_bytes(payload)
        return attempt(
            lambda: read_curve(str(path)).at(np.arange(0, 40, 5)),
            lambda: read_curve(f"{path}:other"),
            lambda: read_curve(f"{path}:r"),
        )

    return Reader([progress, monitor], read, mutate)


def manifest(folder: Path, canary: Path) -> Reader:
    run = _run(folder)
    path = run / "manifest.json"

    def read(payload: bytes) -> str:
        path.write_bytes(payload)
        return _read_run(run)

    def inside(payload: bytes, mutations: Mutations) -> bytes:
        found = _strange(json.loads(payload), mutations)
        if isinstance(found, dict) and mutations[0][2] % 8:
            found["sha256"] = seal(found)
        return json.dumps(found).encode()

    return Reader([path.read_bytes()], read, inside)


def run_files(folder: Path, canary: Path) -> Reader:
    """Mutate the other files of a run, and make their hashes anew."""
    run = _run(folder)
    names = ("outliers.json", "metrics.csv", "transitions.csv", "layers.csv", "dynamics.npy",
             "observations.npy", "journal.jsonl", "relevance/step_000000000002.npy")  # fmt: skip
    whole = {name: (run / name).read_bytes() for name in (*names, "manifest.json")}

    def read(payload: bytes) -> str:
        name, _, content = payload.partition(b"\n")
        if name.decode("latin-1") not in names:
            return "refused"
        for other, before in whole.items():
            (run / other).write_bytes(before)
        (run / name.decode()).write_bytes(content)
        listed = json.loads(whole["manifest.json"])
        if name.decode() in listed["files"]:
            listed["files"][name.decode()] = hashlib.sha256(content).hexdigest()
        (run / "manifest.json").write_text(json.dumps({**listed, "sha256": seal(listed)}))
        return _read_run(run)

    def inside(payload: bytes, mutations: Mutations) -> bytes:
        name, _, content = payload.partition(b"\n")
        if name.endswith(b".json"):
            return name + b"\n" + json.dumps(_strange(json.loads(content), mutations)).encode()
        return name + b"\n" + mutate(content, mutations)

    return Reader([name.encode() + b"\n" + whole[name] for name in names], read, inside)


def _strange(found: Any, mutations: Mutations) -> Any:
    """Replace, take out or add something at a random place of plain data."""
    for what, place, value, _ in mutations[:2]:
        holder, at = None, found
        for depth in range(6):
            keys = (
                list(at)
                if isinstance(at, dict)
                else list(range(len(at)))
                if isinstance(at, list)
                else []
            )
            if not keys or (depth and (value >> depth) & 1):
                break
            key = keys[int(place * len(keys) * (depth + 1) * 7) % len(keys)]
            holder, at = (at, key), at[key]
        if holder is None:
            continue
        (inside, key) = holder
        if what == "cut":
            del inside[key]
        elif what == "repeat" and isinstance(inside, list):
            inside.append(copy.deepcopy(inside[key]))
        else:
            inside[key] = copy.deepcopy(STRANGE[value % len(STRANGE)])
    return found


def _run(folder: Path) -> Path:
    """Make a run of a small network, with regions."""
    ckpts = folder / "ckpts"
    ckpts.mkdir()
    torch.manual_seed(0)
    for step in (2, 4, 10):
        network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
        torch.save(network.state_dict(), ckpts / f"net_{step}.pt")
    np.savez(folder / "regions.npz", left=np.arange(6) < 3)
    vectors = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
    run = lrpdyn.compute(ckpts, vectors, out=folder / "run", arch_args={"activation": "tanh"}, quiet=True,
                         regions=folder / "regions.npz", workers=1)  # fmt: skip
    shutil.copytree(run.path, folder / "whole")
    return run.path


def _read_run(run: Path) -> str:
    """Read a run as every command that reads one does."""
    whole = run.parent / "whole"

    def lines() -> None:
        opened = open_run(run)
        closing_lines(opened, 80)
        table_series(opened).curves()
        assert opened.question
        for step in opened.steps:
            assert opened.relevance[step].shape == opened.shape

    def rendered() -> None:
        report = open_run(run).outliers
        for render in RENDERERS.values():
            text = render(report, KINDS, None)
            assert "\x1b" not in text or render is RENDERERS["csv"]

    return attempt(
        lambda: verify(run),
        lines,
        rendered,
        lambda: compared(compare([whole, run]), 10),
    )


READERS: dict[str, Callable[[Path, Path], Reader]] = {
    "npy": npy, "npz": npz, "png": png, "toml": toml, "csv": csv, "manifest": manifest,
    "run": run_files,
}  # fmt: skip


def campaign(name: str, files: int, number: int, folder: Path) -> Look:
    """Read `files` mutated files of a kind; raise on the first that does harm."""
    look = Look(folder / "executed")
    reader = READERS[name](folder, look.canary)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if name == "run":  # numbers of any size, with a hash that fits: sums of them overflow
            warnings.simplefilter("ignore", RuntimeWarning)
        for original in reader.originals:
            look.at(reader.read, original)  # libraries load what they need, once

        @seed(number)
        @settings(max_examples=files, database=None, deadline=None,
                  suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink))  # fmt: skip
        @given(
            st.sampled_from(reader.originals),
            st.lists(MUTATION, min_size=1, max_size=8),
            st.booleans(),
        )
        def run(original: bytes, mutations: Mutations, inside: bool) -> None:
            look.at(reader.read, (reader.inside if inside else mutate)(original, mutations))

        run()
    return look


def main() -> None:
    """Run the campaign for each reader and print what came of it."""
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    number = int(sys.argv[2]) if len(sys.argv) > 2 else int(np.random.default_rng().integers(2**31))
    torch.set_num_threads(1)
    for name in sys.argv[3:] or READERS:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            look = campaign(name, files, number, Path(folder))
        told = ", ".join(f"{count:,} {what}" for what, count in look.outcomes.most_common())
        count, took = sum(look.outcomes.values()), time.monotonic() - started
        print(f"{name}: {count:,} files (seed {number}) in {took:.0f} s: {told}; no traceback")
        print(f"  slowest {look.slowest:.2f} s, memory +{look.memory / 2**20:.0f} MiB, no code run",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
