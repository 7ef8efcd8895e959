"""Arrays of strangers: a header gets no more than its file holds, and nothing is unpickled."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lrpdyn.errors import ObservationError
from lrpdyn.files import npy
from lrpdyn.files.npy import is_npy, load_npy, load_npz, map_npy, open_npz
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import load_observations
from tests.faults.fuzz_checkpoints import Canary


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    """Return the beginning of a .npy file with any header."""
    padded = text.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(padded)) + padded


@pytest.mark.parametrize(("content", "says"), [
    (header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}") + b"1234",
     r"4,000,000,000,000 bytes, but it holds 4"),
    (header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"), "which cannot be"),
    (header("{'descr': '|V0', 'fortran_order': False, 'shape': (10000000000000,)}"), "cannot be"),
    (header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + b"x" * 9, "can run code"),
    (header("__import__('os').system('true')"), "header is damaged"),
    (header("(" * 5000), "header is damaged"),
    (header("{}", b"\x09\x00"), "version"),
    (pickle.dumps({"a": 1}), "is no .npy file"),
    (b"", "is no .npy file"),
])  # fmt: skip
def test_a_header_gets_no_more_than_there_is(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    for read in (load_npy, map_npy):
        with pytest.raises(ValueError, match=says):
            read(path)
    with pytest.raises(ObservationError, match=says):
        load_observations([path], Expected(features=6))


@pytest.mark.parametrize("array", [
    np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3)), np.array(3.0),
    np.zeros((0, 4)), np.zeros((2, 3), ">i2"), np.array([True, False]),
], ids=str)  # fmt: skip
def test_what_numpy_writes_is_read(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", one=array, two=array)
    for found in (load_npy(tmp_path / "a.npy"), map_npy(tmp_path / "a.npy"),
                  *load_npz(tmp_path / "a.npz").values()):  # fmt: skip
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_an_archive_does_not_fill_the_memory(tmp_path: Path) -> None:
    size = (1 << 28) + 1
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size},)}}"
    with (
        zipfile.ZipFile(
            tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1
        ) as archive,
        archive.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(header(text))
        for _ in range(257):
            member.write(bytes(1 << 20))
    with pytest.raises(ObservationError, match="made to fill the memory"):
        load_observations([tmp_path / "bomb.npz"], Expected(features=6))
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as archive:
        archive.writestr("x.npy", header("{}"))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("x.npy", header("{}"))
    with pytest.raises(ValueError, match="of one name"), open_npz(tmp_path / "twice.npz"):
        pytest.fail("opened")


def test_no_object_is_unpickled(tmp_path: Path) -> None:
    evil = np.empty(1, object)
    evil[0] = Canary(str(tmp_path / "executed"))
    np.savez(tmp_path / "a.npz", x=evil)
    with pytest.raises(ValueError, match="can run code"):
        load_npz(tmp_path / "a.npz")
    assert not (tmp_path / "executed").exists()


def test_an_array_larger_than_memory_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(100))
    monkeypatch.setattr(npy, "usable_memory", lambda: 799)
    monkeypatch.setattr(npy, "_ALWAYS_ALLOWED", 100)
    assert map_npy(path).shape == (100,)
    with pytest.raises(ValueError, match="has 800 bytes, and this process may use 799"):
        load_npy(path)


def test_a_npy_file_is_known_by_its_content(tmp_path: Path) -> None:
    with (tmp_path / "array.bin").open("wb") as file:
        np.save(file, np.zeros(3))
    (tmp_path / "text.npy").write_text("NUMPY")
    assert is_npy(tmp_path / "array.bin")
    assert not is_npy(tmp_path / "text.npy")
