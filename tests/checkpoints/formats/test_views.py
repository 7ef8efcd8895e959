"""Weights as views of their file's bytes: the same as torch.load gives, or left to it."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lrpdyn.checkpoints.containers import Payload
from lrpdyn.checkpoints.formats.torch_contents import contents_of
from lrpdyn.checkpoints.formats.torchfile import weights_of
from lrpdyn.checkpoints.formats.views import views
from lrpdyn.checkpoints.model import Choice
from lrpdyn.checkpoints.readers import read_weights
from lrpdyn.errors import CheckpointError
from tests.checkpoints.networks import states

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
          torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128)  # fmt: skip


def numbers(dtype: torch.dtype, count: int = 24) -> Tensor:
    """Return all kinds of bits: NaN with payloads, infinities, denormals."""
    if dtype == torch.bool:
        return torch.arange(count) % 3 == 0
    raw = np.random.default_rng(3).integers(0, 256, count * dtype.itemsize, dtype=np.uint8)
    return torch.from_numpy(raw).view(dtype)


def shared() -> dict[str, Tensor]:
    whole = torch.arange(60.0)
    tied = nn.Parameter(torch.randn(3, 4))
    return {"a": whole[10:20], "b": whole[15:45].view(5, 6), "c": tied, "d": tied, "e": tied.t()}


def conjugated() -> dict[str, Tensor]:
    return {"w": torch.randn(3, dtype=torch.complex64).conj(), "b": torch.zeros(2)}


#: Weights that are plain views, and those that torch must build.
PLAIN: dict[str, Any] = {
    **{str(dtype): {"w": numbers(dtype).reshape(4, 6), "b": numbers(dtype)} for dtype in DTYPES},
    "shared": shared(),
    "strided": {"w": torch.randn(8, 9)[::2, 1::3], "t": torch.randn(2, 3, 4).permute(2, 0, 1)},
    "expanded": {"w": torch.randn(3, 4)[:, :1].expand(3, 2), "b": torch.randn(3)},
    "scalar": {"n": torch.tensor(7), "w": torch.randn(1), "s": torch.tensor(0.5)},
    "empty": {"w": torch.empty(0, 3), "b": torch.randn(2), "e": torch.arange(4.0)[4:]},
    "parameters": OrderedDict(nn.Conv2d(2, 3, 3).named_parameters()),
    "module": nn.BatchNorm2d(3).state_dict(),
    "beside": {"w": torch.randn(2), "_extra_state": {"n": 3}},
}
SPECIAL: dict[str, Any] = {
    "conjugated": conjugated(),
    "negated": {"w": torch.randn(3, dtype=torch.complex64).conj().imag},
    "uint16": {"w": torch.arange(5).to(torch.uint16)},
    "float8": {"w": torch.randn(5).to(torch.float8_e4m3fn)},
}


def saved(thing: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


def payload(content: bytes) -> Payload:
    return Payload(content=np.frombuffer(bytearray(content), np.uint8).data)


def bits(tensor: Tensor) -> bytes:
    """Return the values as they are, whatever their type."""
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
    return plain.view(-1).view(torch.uint8).numpy().tobytes()


def assert_same(found: dict[str, Tensor], expected: dict[str, Any]) -> None:
    expected = {key: value for key, value in expected.items() if isinstance(value, Tensor)}
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        assert found[key].dtype == tensor.dtype
        assert found[key].shape == tensor.shape
        assert bits(found[key]) == bits(tensor)


@pytest.mark.parametrize("name", PLAIN)
def test_plain_tensors_are_views_and_what_torch_loads(name: str) -> None:
    content = saved(PLAIN[name])
    expected = torch.load(io.BytesIO(content), weights_only=True)
    held = payload(content)
    contents = contents_of(held.part(), "here")
    found = views(contents.found.root, contents, held)
    assert found is not None
    assert_same(found, expected)
    for key, tensor in found.items():
        assert tensor.stride() == expected[key].stride()
        assert tensor.storage_offset() == expected[key].storage_offset()
    assert_same(dict(weights_of(held, "here", Choice())), expected)


@pytest.mark.parametrize("name", SPECIAL)
def test_what_takes_more_than_a_view_is_left_to_torch(name: str) -> None:
    content = saved(SPECIAL[name])
    held = payload(content)
    contents = contents_of(held.part(), "here")
    assert views(contents.found.root, contents, held) is None
    expected = torch.load(io.BytesIO(content), weights_only=True)
    assert_same(dict(weights_of(held, "here", Choice())), expected)


def test_tensors_of_one_storage_share_it_and_outlive_the_file() -> None:
    found = dict(weights_of(payload(saved(shared())), "here", Choice()))
    found["c"].fill_(3)
    assert found["d"].eq(3).all()
    assert found["a"].tolist() == list(range(10, 20))


def remade(content: bytes, members: dict[str, bytes]) -> bytes:
    """Return a zip with other content in some members, left out where that is empty."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            member = members.get(name.rpartition("/")[2], old.read(name))
            if member:
                new.writestr(name, member)
    return buffer.getvalue()


@pytest.mark.parametrize("order", [b"big", b"", b"little"])
def test_the_order_of_bytes(order: bytes) -> None:
    content = remade(saved({"w": torch.arange(3, dtype=torch.int32)}), {"byteorder": order})
    found = weights_of(payload(content), "here", Choice())["w"]
    assert found.tolist() == ([0, 1 << 24, 2 << 24] if order == b"big" else [0, 1, 2])


def test_storages_at_odd_places_are_read(tmp_path: Path) -> None:
    # Python's zipfile does not align members as torch does.
    content = remade(saved(states((1,))[1]), {"version": b"3 "})
    (tmp_path / "net_1.pt").write_bytes(content)
    assert_same(dict(read_weights(tmp_path / "net_1.pt", "torch")[0]), states((1,))[1])


@pytest.mark.parametrize("stride", [8, 1 << 40])
def test_tensors_beyond_their_storage_are_refused(stride: int) -> None:
    content = saved({"w": torch.arange(8.0).as_strided((1,), (stride,))})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        pickled = archive.read("archive/data.pkl")
    longer = pickled.replace(b"K\x01\x85", b"K\x02\x85")  # its shape, from (1,) to (2,)
    sums = [zlib.crc32(part).to_bytes(4, "little") for part in (pickled, longer)]
    # In place: what another program writes is not aligned, and so left to torch.
    content = content.replace(pickled, longer).replace(*sums)
    with pytest.raises(CheckpointError, match="cannot be read"):
        weights_of(payload(content), "here", Choice())


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [((0, *[1 << 47] * 5), (1,) * 6, 0), ((1,), (1 << 70,), 0), ((0,), (1,), 1 << 70)],
)
def test_numbers_beyond_those_of_torch_are_no_views(
    shape: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> None:
    held = payload(saved({"w": torch.arange(8.0)}))
    contents = contents_of(held.part(), "here")
    outline = replace(contents.found.root["w"], shape=shape, stride=stride, offset=offset)
    assert views({"w": outline}, contents, held) is None


def test_of_a_large_file_the_weights_alone_are_read(tmp_path: Path) -> None:
    path = tmp_path / "net_1.pt"
    large = torch.arange(17 << 20, dtype=torch.int32)
    torch.save({"w": large, "b": torch.zeros(2)}, path)
    found, digest = read_weights(path, "torch")
    assert torch.equal(found["w"], large)
    found["w"].zero_()  # a copy
    again, same = read_weights(path, "torch")
    assert torch.equal(again["w"], large)
    assert digest == same
