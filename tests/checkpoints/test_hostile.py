"""Small files that cost much are refused, in a line, within 2 s and 1 GiB, and before torch reads them."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from lrpdyn.checkpoints.containers import Part, open_archive
from lrpdyn.checkpoints.formats import distributed
from lrpdyn.checkpoints.payload import locate
from lrpdyn.checkpoints.pickles.pickled import Opaque
from lrpdyn.checkpoints.readers import find_reader, read_header, read_weights
from lrpdyn.errors import CheckpointError
from tests.checkpoints.hostile import PICKLES, SAFETENSORS, pickled_in_zip
from tests.checkpoints.networks import states
from tests.faults.fuzz_checkpoints import Look


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_that_share_their_parts_are_refused_before_they_cost(
    name: str, tmp_path: Path
) -> None:
    look = Look(tmp_path)
    for payload in (PICKLES[name], pickled_in_zip(PICKLES[name])):
        look.at(payload)
        with pytest.raises(CheckpointError) as refused:
            # torch itself is given no file whose outline is not made.
            read_weights(look.path, "torch" if payload.startswith(b"PK") else "arrays")
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 1000
    assert look.outcomes["read"] == 0


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors_that_claim_the_same_bytes_are_refused(name: str, tmp_path: Path) -> None:
    look = Look(tmp_path)
    look.at(SAFETENSORS[name])
    assert look.outcomes == {"refused": 1}
    with pytest.raises(CheckpointError, match=name.partition(":")[0]):
        read_header(look.path, "safetensors")


@pytest.mark.frameworks
def test_the_official_reader_refuses_them_too(tmp_path: Path) -> None:
    official = pytest.importorskip("safetensors")
    for name, payload in SAFETENSORS.items():
        if "overflows" in name:
            continue  # of no bytes: it is torch that cannot make it
        (tmp_path / "a").write_bytes(payload)
        with (
            pytest.raises(official.SafetensorError),
            official.safe_open(tmp_path / "a", "np") as file,
        ):
            file.keys()


def saved() -> bytes:
    buffer = io.BytesIO()
    torch.save(states((1,))[1], buffer)
    return buffer.getvalue()


def changed(payload: bytes, member: str, at: int, value: bytes) -> bytes:
    """Return a zip in whose local header of `member` some bytes are others."""
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        start = archive.getinfo(member).header_offset + at
    return payload[:start] + value + payload[start + len(value) :]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("at", "value", "says"),
    [(30, b"DATA", "another name"), (8, b"\x63\0", "another name or method"), (14, b"abcd", "other sizes"),
     (18, b"\1\0\0\0", "other sizes"), (22, b"\xff\xff\xff\xff", "other sizes"), (6, b"\1\0", "encrypted")],
)  # fmt: skip
def test_headers_that_contradict_the_directory_are_refused(
    at: int, value: bytes, says: str, method: int
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr("data", "{}" * 100)
    payload = buffer.getvalue()
    for given in (payload, changed(payload, "data", at, value)):
        archive = open_archive(Part(io.BytesIO(given), 0, len(given)), "here")
        if given is payload:
            assert archive.read("data", 1000) == b"{}" * 100
        else:
            with pytest.raises(CheckpointError, match=says):
                archive.read("data", 1000)


def test_weights_whose_header_contradicts_the_directory_are_refused(tmp_path: Path) -> None:
    payload = saved()
    name = next(n for n in zipfile.ZipFile(io.BytesIO(payload)).namelist() if n.endswith("data/0"))
    path = tmp_path / "net_1.pt"
    path.write_bytes(changed(payload, name, 30, b"x"))
    with pytest.raises(CheckpointError, match="another name"):
        read_weights(path, "torch")


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net_1.pt"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("data", "policy.pth"):
            file.writestr(name, bytes(100))
        file.getinfo("policy.pth").header_offset = file.getinfo("data").header_offset
    with pytest.raises(CheckpointError, match="members overlap"):
        find_reader(path)


def test_views_of_one_storage_are_read_and_a_repeated_one_is_not(tmp_path: Path) -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    path = tmp_path / "a.pt"
    torch.save({"w": whole, "tied": whole, "t": whole.t(), "row": whole[1]}, path)
    found, _ = read_weights(path, "torch")
    assert torch.equal(found["t"], whole.t())
    for repeated in (torch.zeros(1).expand(10**12), torch.zeros(1).expand(2**31, 2**31)):
        torch.save({"w": repeated}, path)
        with pytest.raises(CheckpointError, match="but its storage only"):
            read_header(path, "torch")
    torch.save({f"w{n}": whole for n in range(100)}, path)
    with pytest.raises(CheckpointError, match="made to fill the memory"):
        read_weights(path, "torch")


def test_arrays_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    import pickle

    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(dict.fromkeys(map(str, range(1000)), np.zeros(1000))))
    for read in (read_header, read_weights):
        with pytest.raises(CheckpointError, match="made to fill the memory"):
            read(path, "arrays")


def test_chunks_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    properties = Opaque("p", state=(Opaque("torch.float32"),))
    saved = Opaque("TensorStorageMetadata", state={"size": (4,), "properties": properties})
    place = Opaque("i", state={"relative_path": "__0_0.distcp", "offset": 0, "length": 1 << 20})
    (tmp_path / "__0_0.distcp").write_bytes(bytes(1 << 20))
    storage = {Opaque("m", state={"fqn": f"w{n}", "offset": (0,)}): place for n in range(100)}
    names = {f"w{n}": saved for n in range(100)}
    with pytest.raises(CheckpointError, match="made to fill the memory"):
        distributed._nested(tmp_path, {"storage_data": storage, "state_dict_metadata": names})


def test_a_mapping_in_many_places_is_looked_through_once() -> None:
    tensor = np.zeros(1)
    wide = {str(n): tensor for n in range(30_000)} | {"last": None}
    deep = {str(n): wide for n in range(30_000)}
    with pytest.raises(CheckpointError, match="no weights found"):
        locate(deep, "model", "here")


def test_names_that_no_file_can_have_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"w": "%s.safetensors"}}' % ("a" * 5000)
    )
    with pytest.raises(CheckpointError, match=r"shard a{80} is missing"):
        find_reader(tmp_path)


@pytest.mark.parametrize("folder", [False, True])
def test_pipes_and_devices_are_not_waited_for(folder: bool, tmp_path: Path) -> None:
    if folder:
        for name in ("data", "policy.pth"):
            os.mkfifo(tmp_path / name)
        with pytest.raises(CheckpointError, match="is no plain file"):
            read_header(tmp_path, "sb3-folder")
        with pytest.raises(CheckpointError, match="is no plain file"):
            read_weights(tmp_path, "sb3-folder")
    else:
        for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
            if path.name == "fifo":
                os.mkfifo(path)
            with pytest.raises(CheckpointError, match=r"is no plain file|is a folder"):
                read_header(path, "torch")


def test_a_large_header_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 90_000_000) + b"{")
        file.truncate(90_000_100)
    with pytest.raises(CheckpointError, match="header has 90,000,000 bytes"):
        read_header(path, "safetensors")
