"""What a torch file holds is compared with its checksums and sizes."""

from __future__ import annotations

import io
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


def test_a_flipped_bit_in_the_weights_is_found(tmp_path: Path) -> None:
    path = tmp_path / "net_1.pt"
    payload = bytearray(saved())
    with zipfile.ZipFile(io.BytesIO(bytes(payload))) as file:
        largest = max(file.infolist(), key=lambda info: info.file_size)
    payload[largest.header_offset + 200] ^= 4
    path.write_bytes(payload)
    read_header(path, "torch")  # a header does not read weights
    with pytest.raises(CheckpointError, match="checksum"):
        read_weights(path, "torch")


def test_files_without_checksums_are_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        (tmp_path / "net_1.pt").write_bytes(saved())
    finally:
        torch.serialization.set_crc32_options(True)
    weights, _ = read_weights(tmp_path / "net_1.pt", "torch")
    assert torch.equal(weights["head.bias"], states((1,))[1]["head.bias"])


def test_shapes_beyond_their_storage_are_refused(tmp_path: Path) -> None:
    wide = torch.zeros(1).expand(1 << 40)
    torch.save({"weight": wide}, tmp_path / "net_1.pt")
    with pytest.raises(CheckpointError, match="only 4 bytes"):
        read_header(tmp_path / "net_1.pt", "torch")
