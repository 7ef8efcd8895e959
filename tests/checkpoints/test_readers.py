"""Which reader an entry has, and what is the same for all of them."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
import xxhash

from lrpdyn.checkpoints import readers
from lrpdyn.checkpoints.containers import digest_of
from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.readers import (
    digest,
    find_reader,
    has_digest,
    read_header,
    read_weights,
    read_weights_again,
    stamp,
    suffixes,
)
from lrpdyn.errors import CheckpointError
from tests.checkpoints.layouts import LAYOUTS
from tests.checkpoints.networks import states


@pytest.mark.parametrize(
    ("layout", "format"),
    [("bare", "torch"), ("legacy", "torch"), ("safetensors", "safetensors"), ("hub", "sb3-folder"),
     ("stable-baselines3", "sb3-zip"),
     ("rllib", "rllib"), ("torchrl", "torchrl"), ("pfrl", "pfrl"), ("lerobot", "lerobot"),
     ("accelerate", "accelerate"), ("huggingface-shards", "huggingface")],
)  # fmt: skip
def test_content_chooses_the_reader_whatever_the_name(
    layout: str, format: str, tmp_path: Path
) -> None:
    LAYOUTS[layout].write(tmp_path, states())
    first = min(path for path in tmp_path.iterdir() if "1" in path.name or "0" in path.name)
    renamed = first.rename(tmp_path / "renamed")
    reader = find_reader(renamed)
    assert reader is not None
    assert reader.format == format


def test_every_format_has_its_name_alone() -> None:
    names = [reader.format for reader in readers.READERS]
    assert len(set(names)) == len(names)
    assert {".pt", ".zip", ".safetensors", ".cleanrl_model"} <= suffixes()


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "net_1.pt"
    torch.save(states((1,))[1], path)
    expected = f"xxh3_128-{xxhash.xxh3_128_hexdigest(path.read_bytes())}"
    weights, found = read_weights(path, "torch")
    assert found == digest(path, "torch") == expected
    safe = f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert read_weights(path, "torch", algorithm="sha256")[1] == safe
    assert [has_digest(path, "torch", one) for one in (expected, safe)] == [True, True]
    others = (expected[:-1] + "g", safe[7:], f"md5-{safe[7:]}", "", None)
    assert not any(has_digest(path, "torch", one) for one in others)
    again = read_weights_again(path, "torch")
    assert all(torch.equal(again[key], value) for key, value in weights.items())
    status = path.stat()
    assert stamp(path, "torch") == {
        "size": status.st_size, "modified": status.st_mtime_ns, "changed": status.st_ctime_ns,
        "inode": status.st_ino,
    }  # fmt: skip
    assert read_header(path, "torch").shapes.keys() == weights.keys()


def test_what_is_no_checkpoint_is_none_or_named(tmp_path: Path) -> None:
    (tmp_path / "strange").write_bytes(bytes(range(1, 256)))
    assert find_reader(tmp_path / "strange") is None
    assert find_reader(tmp_path) is None
    (tmp_path / "empty.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"is empty; copy it again, .*--skip-bad"):
        find_reader(tmp_path / "empty.pt")
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        find_reader(tmp_path / "gone.pt")


NPZ = """
import numpy as np
import torch

from lrpdyn.checkpoints.containers import on_disk
from lrpdyn.checkpoints.model import Header, Reader


def weights_of(path, choice):
    with open(on_disk(path), "rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def header_of(path, choice):
    return Header({key: tuple(value.shape) for key, value in weights_of(path, choice).items()})


READER = Reader(
    format="npz",
    recognise=lambda entry: any(name.endswith(".npy") for name in entry.members),
    header=header_of,
    weights=weights_of,
    suffixes=(".npz",),
)
"""


def test_a_reader_is_added_by_a_module_and_its_entry_in_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "ckpts"
    folder.mkdir()
    for step in (10, 9):
        np.savez(folder / f"net_{step}.npz", weight=np.full((2, 3), step, np.float32))
    (folder / "net_8.npz").write_bytes(b"PK")
    assert not discover(folder).checkpoints
    (tmp_path / "npz_of_a_test.py").write_text(NPZ)
    monkeypatch.syspath_prepend(str(tmp_path))
    added = importlib.import_module("npz_of_a_test").READER
    monkeypatch.setattr(readers, "READERS", (*readers.READERS, added))
    listing = discover(folder)
    assert [(c.step, c.format) for c in listing.checkpoints] == [(9, "npz"), (10, "npz")]
    assert [entry.path.name for entry in listing.bad] == ["net_8.npz"]
    weights, found = read_weights(folder / "net_9.npz", "npz")
    assert weights["weight"].tolist() == [[9.0] * 3] * 2
    assert found == digest_of("xxh3_128", folder / "net_9.npz")
