"""Zips of Stable-Baselines3 whose makers are not trusted."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
import torch

from lrpdyn.checkpoints.readers import read_header, read_weights
from lrpdyn.errors import CheckpointError
from tests.checkpoints.networks import states


def saved() -> bytes:
    buffer = io.BytesIO()
    torch.save(states((1,))[1], buffer)
    return buffer.getvalue()


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_a_bomb_is_refused_unopened(tmp_path: Path) -> None:
    bomb = archive(
        tmp_path / "m_1_steps.zip",
        {"data": b" " * (1 << 26) + b"{}", "policy.pth": saved()},
        zipfile.ZIP_DEFLATED,
    )
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(CheckpointError, match="made to fill the memory"):
        read_header(bomb, "sb3-zip")


def test_names_that_leave_the_folder_are_only_names(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    data = json.dumps({"num_timesteps": 5}).encode()
    members = {"../../evil": b"x", "/etc/evil": b"x", "data": data, "policy.pth": saved()}
    path = archive(folder / "m.zip", members)
    header = read_header(path, "sb3-zip")
    assert header.step is not None
    assert header.step.value == 5
    read_weights(path, "sb3-zip")
    assert [p.name for p in tmp_path.rglob("*")] == ["inner", "m.zip"]


def test_a_byte_that_fell_over_within_a_zip_of_stable_baselines3_is_noticed(
    ppo_folder: Path, tmp_path: Path
) -> None:
    source = ppo_folder / "rl_model_0_steps.zip"
    content = bytearray(source.read_bytes())
    with zipfile.ZipFile(source) as outer:
        policy = outer.read("policy.pth")
    with zipfile.ZipFile(io.BytesIO(policy)) as inner:
        largest = max(inner.infolist(), key=lambda info: info.file_size)
    place = content.find(policy[:64]) + largest.header_offset + largest.file_size // 2
    content[place] ^= 1
    path = tmp_path / "rl_model_0_steps.zip"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum of archive/data/"):
        read_weights(path, "sb3-zip")
