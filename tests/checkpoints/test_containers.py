"""Hostile archives: bombs, lies about sizes, names that leave the folder, two of one name."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

from lrpdyn.checkpoints.containers import Part, open_archive
from lrpdyn.checkpoints.readers import find_reader
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


def test_a_part_never_reads_beyond_what_is_there() -> None:
    part = Part(io.BytesIO(b"0123456789"), 2, 5)
    assert part.read(1 << 62) == b"23456"
    part.seek(-2, io.SEEK_END)
    assert part.read() == b"56"
    assert part.read() == b""


def test_a_member_larger_than_said_is_damaged(tmp_path: Path) -> None:
    path = archive(tmp_path / "m.zip", {"data": b"[" + b"1," * 5000 + b"1]"}, zipfile.ZIP_DEFLATED)
    payload = bytearray(path.read_bytes())
    directory = payload.rindex(b"PK\x01\x02")
    payload[directory + 24 : directory + 28] = (100).to_bytes(4, "little")
    part = Part(io.BytesIO(bytes(payload)), 0, len(payload))
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_archive(part, "here").read("data", 1 << 20)


def test_members_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of what we do on purpose
        for content in (b"{}", b"[]"):
            file.writestr("data", content)
        file.writestr("policy.pth", saved())
    with pytest.raises(CheckpointError, match="several members of one name"):
        find_reader(path)
