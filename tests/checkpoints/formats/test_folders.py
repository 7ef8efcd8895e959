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
