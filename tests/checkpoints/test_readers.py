"""Which reader an entry has, and what is the same for all of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from lrpdyn.checkpoints import readers
from lrpdyn.checkpoints.readers import (
    digest,
    find_reader,
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
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    weights, found = read_weights(path, "torch")
    assert found == digest(path, "torch") == expected
    again = read_weights_again(path, "torch")
    assert all(torch.equal(again[key], value) for key, value in weights.items())
    assert stamp(path, "torch") == (path.stat().st_size, path.stat().st_mtime_ns)
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
