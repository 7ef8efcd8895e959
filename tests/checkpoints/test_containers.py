"""Hostile archives: bombs, lies about sizes, names that leave the folder, two of one name."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

from lrpdyn.checkpoints.containers import Part, open_archive
from lrpdyn.checkpoints.readers import find_reader, read_header, read_weights
from lrpdyn.errors import CheckpointError
from tests.checkpoints.networks import states
from tests.faults.fuzz_checkpoints import Canary


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


def test_a_bomb_is_refused_unopened(tmp_path: Path) -> None:
    bomb = archive(
        tmp_path / "m_1_steps.zip",
        {"data": b" " * (1 << 26) + b"{}", "policy.pth": saved()},
        zipfile.ZIP_DEFLATED,
    )
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(CheckpointError, match="made to fill the memory"):
        read_header(bomb, "sb3-zip")


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


@pytest.mark.parametrize("outside", ["../secret.safetensors", "/secret.safetensors", "a/b"])
def test_shards_outside_of_the_folder_are_refused(tmp_path: Path, outside: str) -> None:
    folder = tmp_path / "checkpoint-5"
    folder.mkdir()
    index = {"weight_map": {"w": outside}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="outside of its folder"):
        find_reader(folder)


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


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_other_pickle_protocols(tmp_path: Path, protocol: int) -> None:
    torch.save(states((1,))[1], tmp_path / "net_1.pt", pickle_protocol=protocol)
    assert read_header(tmp_path / "net_1.pt", "torch").shapes["head.bias"] == (3,)
    weights, _ = read_weights(tmp_path / "net_1.pt", "torch")
    assert torch.equal(weights["head.bias"], states((1,))[1]["head.bias"])


def test_another_pickle_protocol_than_torch_reads(tmp_path: Path) -> None:
    path = tmp_path / "net_1.pt"
    torch.save(states((1,))[1], path, pickle_protocol=4, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="pickle_protocol"):
        read_weights(path, "torch")


def test_a_file_that_was_swapped_after_the_listing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net_1.pt"
    path.write_bytes(saved())
    read_header(path, "torch")
    torch.save({"head.bias": Canary(str(tmp_path / "executed"))}, path)
    with pytest.raises(CheckpointError, match=r"mkdir.*--trust"):
        read_weights(path, "torch")
    assert not (tmp_path / "executed").exists()
