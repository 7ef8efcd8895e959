"""Folders that frameworks write: which of their files hold the weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lrpdyn.checkpoints.readers import find_reader
from lrpdyn.errors import CheckpointError


@pytest.mark.parametrize("outside", ["../secret.safetensors", "/secret.safetensors", "a/b"])
def test_shards_outside_of_the_folder_are_refused(tmp_path: Path, outside: str) -> None:
    folder = tmp_path / "checkpoint-5"
    folder.mkdir()
    index = {"weight_map": {"w": outside}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="outside of its folder"):
        find_reader(folder)


def test_a_shard_whose_name_is_too_long_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-5"
    folder.mkdir()
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"w": "x" * 5000}})
    )
    with pytest.raises(CheckpointError, match=r"shard x{80} is missing"):
        find_reader(folder)
