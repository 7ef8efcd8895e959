"""Mutated checkpoint files: no traceback, no hang, no memory, no code run, whatever they hold.

Run by name, a number of files for each kind of container (10,000 where not given):

    python -m tests.faults.fuzz_checkpoints [FILES] [SEED]
"""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import resource
import struct
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from lrpdyn.checkpoints.readers import find_reader, read_header, read_weights
from lrpdyn.errors import LrpdynError
from tests.checkpoints.hostile import PICKLES, SAFETENSORS, pickled_in_zip

#: Seconds of work: a machine that others use may stand still for longer.
LONGEST = 2.0
MOST_MEMORY = 1 << 30

#: What is spliced in: dangerous names and calls, lengths and places far beyond the file.
TOKENS = (
    b"cposix\nmkdir\n", b"cbuiltins\neval\n", b"cos\nsystem\n", b"cbuiltins\nbytearray\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"(", b"t", b"R", b"b",
    b"}", b"]", b"u", b"e", b"0", b"2", b"Q", b".", b"\x81", b"\x85", b"\x86", b"\x87", b"\x93",
    b"\x94", b"\x80\x04", b"\x8e" + b"\xff" * 8, b"\x8d" + b"\xff\xff\xff\x7f" + b"\0" * 4,
    b"r\xff\xff\xff\xff", b"J\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\x7f", b"\xff" * 4, b"\0" * 4,
    b"\xff" * 8, b"PK\x01\x02", b"PK\x05\x06", b"[" * 40, b"{" * 40, b"9" * 5000,
)  # fmt: skip


class Canary:
    """A pickle that makes a folder when it is run."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def corpus(kind: str, canary: Path) -> list[bytes]:
    """Return whole files of a kind of container, one of them with a canary where it can have one."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), torch.nn.Flatten(), torch.nn.Linear(3, 2)
    )
    optimizer = torch.optim.Adam(network.parameters())
    small = [payload for payload in PICKLES.values() if len(payload) < 10_000]
    nested = {"state_dict": network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    evil = {"state_dict": network.state_dict(), "extra": Canary(str(canary))}
    if kind in ("zip", "legacy"):
        saved = [_saved(thing, kind) for thing in (network.state_dict(), nested, evil)]
        return [*saved, _stable_baselines(saved[0])] if kind == "zip" else saved
    if kind == "safetensors":
        return [_safetensors(network.state_dict())]
    if kind == "shared":
        return [*small, *map(pickled_in_zip, small), *SAFETENSORS.values()]
    arrays = {key: value.numpy() for key, value in network.state_dict().items()}
    return [pickle.dumps(thing, protocol) for thing in (arrays, {"w": arrays, "x": Canary(str(canary))})
            for protocol in (2, 4, 5)]  # fmt: skip


def _saved(thing: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer, _use_new_zipfile_serialization=kind == "zip")
    return buffer.getvalue()


def _stable_baselines(policy: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data", '{"num_timesteps": 5, "observation_space": {"_shape": [2, 3, 3]}}')
        archive.writestr("policy.pth", policy)
    return buffer.getvalue()


def _safetensors(weights: dict[str, torch.Tensor]) -> bytes:
    header, data = {}, b""
    for key, value in weights.items():
        raw = value.numpy().tobytes()
        ends = [len(data), len(data) + len(raw)]
        header[key] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": ends}
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


CONTAINERS = ("zip", "legacy", "safetensors", "pickle", "shared")
#: Where in a local header of a zip is what its directory says, too: flags, method, CRC, sizes, lengths, name.
HEADER_FIELDS = (6, 8, 14, 18, 22, 26, 28, 30)

MUTATION = st.tuples(
    st.sampled_from(("flip", "set", "cut", "insert", "overwrite", "repeat", "swap")),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 255),
    st.sampled_from(TOKENS),
)


def mutate(payload: bytes, mutations: list[tuple[str, float, int, bytes]]) -> bytes:
    """Return `payload` with all `mutations` made, one after the other."""
    data = bytearray(payload)
    for what, place, value, token in mutations:
        at = int(place * len(data))
        if not data:
            break
        if what == "flip":
            data[at] ^= 1 << (value % 8)
        elif what == "set":
            data[at] = value
        elif what == "cut":
            del data[at : len(data) if value % 4 == 0 else at + value]
        elif what == "insert":
            data[at:at] = token
        elif what == "overwrite":
            data[at : at + len(token)] = token
        elif what == "repeat":
            data[at:at] = data[at : at + value]
        else:
            other = int(value / 256 * len(data))
            data[at], data[other] = data[other], data[at]
    return bytes(data)


def mutate_inside(payload: bytes, mutations: list[tuple[str, float, int, bytes]]) -> bytes:
    """Mutate the pickle within a zip, and make the zip anew: its checksums fit."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(payload)) as archive,
        zipfile.ZipFile(buffer, "w") as other,
    ):
        for name in archive.namelist():
            content = archive.read(name)
            if name == "policy.pth":
                content = mutate_inside(content, mutations)
            elif name.endswith("data.pkl"):
                content = mutate(content, mutations)
            other.writestr(name, content)
    return buffer.getvalue()


def mutate_headers(payload: bytes, mutations: list[tuple[str, float, int, bytes]]) -> bytes:
    """Make local headers of a zip, or entries of its directory, contradict each other."""
    data = bytearray(payload)
    for what, place, value, token in mutations:
        magic = b"PK\x03\x04" if what in ("flip", "set", "cut") else b"PK\x01\x02"
        heads = [found.start() for found in re.finditer(re.escape(magic), data)]
        if not heads:
            break
        # The directory has two bytes more before the same fields, and places of headers after them.
        fields = HEADER_FIELDS if magic.endswith(b"\x04") else (*(n + 2 for n in HEADER_FIELDS), 42)
        at = heads[int(place * len(heads))] + fields[value % len(fields)]
        data[at : at + 4] = token[:4].ljust(4, b"\0") if value % 2 else bytes((value, 0, 0, 0))
    return bytes(data)


class Look:
    """Reads mutated files and keeps count of what came of it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "net_5.pt"
        self.canary = folder / "executed"
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        self.memory = 0

    def at(self, payload: bytes) -> None:
        """Read a file as `inspect` and then `compute` do.

        Raises
        ------
        AssertionError
            It took too long, took too much memory, or ran.
        """
        self.path.write_bytes(payload)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()
        try:
            outcome = self._read()
        except LrpdynError:
            outcome = "refused"
        took = time.process_time() - start
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        self.outcomes[outcome] += 1
        self.slowest, self.memory = max(self.slowest, took), max(self.memory, grown)
        assert took < LONGEST, f"took {took:.1f} s"
        assert grown < MOST_MEMORY + len(payload), f"took {grown:,} bytes"
        assert not self.canary.exists(), "ran code"

    def _read(self) -> str:
        reader = find_reader(self.path)
        if reader is None:
            return "no checkpoint"
        header = read_header(self.path, reader.format)
        weights, _ = read_weights(self.path, reader.format)
        assert {key: tuple(value.shape) for key, value in weights.items()} == dict(header.shapes)
        return "read"


def campaign(kind: str, files: int, number: int, folder: Path) -> Look:
    """Read `files` mutated files of a kind of container; raise on the first that does harm."""
    look = Look(folder)
    originals = corpus(kind, look.canary)
    read: Callable[[bytes], None] = look.at
    for original in originals:
        read(original)  # libraries load what they need, once

    @seed(number)
    @settings(max_examples=files, database=None, deadline=None,
              suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink))  # fmt: skip
    @given(st.sampled_from(originals), st.lists(MUTATION, min_size=1, max_size=8),
           st.sampled_from((mutate, mutate_inside, mutate_headers)))  # fmt: skip
    def run(original: bytes, mutations: list[tuple[str, float, int, bytes]], change: Any) -> None:
        whole = original.startswith(b"PK") and kind in ("zip", "shared")
        read((change if whole else mutate)(original, mutations))

    run()
    return look


def main() -> None:
    """Run the campaign for each kind of container and print what came of it."""
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    number = int(sys.argv[2]) if len(sys.argv) > 2 else int(np.random.default_rng().integers(2**31))
    torch.set_num_threads(1)
    for kind in CONTAINERS:
        with tempfile.TemporaryDirectory() as folder:
            look = campaign(kind, files, number, Path(folder))
        told = ", ".join(f"{count:,} {what}" for what, count in look.outcomes.most_common())
        count = sum(look.outcomes.values())
        print(f"{kind}: {count:,} files (seed {number}): {told}")
        print(f"  slowest {look.slowest:.2f} s, memory +{look.memory / 2**20:.0f} MiB, no code run")


if __name__ == "__main__":
    main()
