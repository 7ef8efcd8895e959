"""Arrays of very many samples: what is read is what lies there, wherever it is kept."""

from __future__ import annotations

import gc
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrpdyn.errors import LrpdynError, ObservationError, RunError
from lrpdyn.files import streamed
from lrpdyn.files.atomic import save_pieces
from lrpdyn.files.streamed import (
    IN_CACHE,
    Streamed,
    in_file,
    in_memory,
    joined,
    kept,
    opened,
    pieces,
    slices,
)
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import load_observations

CNN = Expected(channels=4, divisor=255.0, range=(0.0, 1.0))
FRAMES = np.random.default_rng(0).integers(0, 256, (23, 4, 9, 7), dtype=np.uint8)


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep everything in files, and work on five pictures at a time."""
    monkeypatch.setattr(streamed, "LARGEST_IN_MEMORY", 100)
    monkeypatch.setattr(streamed, "_ENTRIES", 5 * 4 * 9 * 7)


KEYS = [
    slice(None),
    slice(3, 9),
    slice(20, 99),
    slice(9, 3),
    slice(1, 20, 4),
    [0],
    [5, 6, 7, 2],
    [],
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_samples_of_a_file_are_those_of_the_array(tmp_path: Path, key: slice | list[int]) -> None:
    (tmp_path / "raw").write_bytes(b"header" + FRAMES.tobytes())
    stored = in_file((tmp_path / "raw").open("rb"), 6, FRAMES.shape, np.uint8)
    parts = joined([in_memory(FRAMES[:4]), in_memory(FRAMES[4:6]), in_memory(FRAMES[6:])])
    for found in (stored, parts, in_memory(FRAMES)):
        np.testing.assert_array_equal(found[key], FRAMES[key])
        backwards = found.chosen(list(range(22, -1, -1)))
        np.testing.assert_array_equal(backwards[key], FRAMES[::-1][key])
        assert (found.shape, found.size, found.ndim) == (FRAMES.shape, FRAMES.size, 4)


def test_what_is_read_can_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(FRAMES.tobytes())
    stored = in_file((tmp_path / "raw").open("rb"), 0, FRAMES.shape, np.uint8)
    stored[:2][...] = 0  # torch refuses what cannot
    np.testing.assert_array_equal(stored[:2], FRAMES[:2])


def test_a_file_that_became_shorter_is_told(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(FRAMES.tobytes())
    stored = in_file((tmp_path / "raw").open("rb"), 0, FRAMES.shape, np.uint8)
    os.truncate(tmp_path / "raw", 700)
    stored[:2]
    with pytest.raises(ObservationError, match="raw: became shorter"):
        stored[:3]


@pytest.mark.usefixtures("little_memory")
def test_a_large_array_is_kept_in_a_file_that_goes_with_it(tmp_path: Path) -> None:
    found = kept(FRAMES.shape, np.float32, pieces(in_memory(FRAMES)), tmp_path)
    assert isinstance(found, Streamed)
    np.testing.assert_array_equal(found[:], FRAMES.astype(np.float32))
    assert not list(tmp_path.iterdir())
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None
    del found
    gc.collect()
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before - 1


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain.npy", {}),
        ("last.npy", {}),
        ("packed.npz", {}),
        ("plain.npy", {"samples": [20, 3, 4]}),
        ("plain.npy", {"select": "spread:6", "seed": 3}),
        ("plain.npy", {"stack_order": "newest"}),
        ("plain.npy", {"scale": "none", "mean": "100", "std": "7,8,9,10"}),
        ("frames.npy", {"stack": 4}),
        ("colours.npy", {"stack": 4}),
        ("pictures", {"stack": 4}),
        ("fortran.npy", {}),
    ],
)
def test_what_is_streamed_is_what_fits_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, object]
) -> None:
    np.save(tmp_path / "plain.npy", FRAMES)
    np.save(tmp_path / "last.npy", np.ascontiguousarray(np.moveaxis(FRAMES, 1, -1)))
    np.save(tmp_path / "fortran.npy", np.asfortranarray(FRAMES))
    np.savez_compressed(tmp_path / "packed.npz", frames=FRAMES)
    np.save(tmp_path / "frames.npy", FRAMES[:, 0])
    np.save(tmp_path / "colours.npy", np.repeat(FRAMES[:, 0, ..., None], 3, axis=3))
    (tmp_path / "pictures").mkdir()
    for number, frame in enumerate(FRAMES[:, 0]):
        Image.fromarray(frame).save(tmp_path / "pictures" / f"frame_{number}.png")
    found = load_observations([tmp_path / name], CNN, folder=tmp_path, **options)
    assert isinstance(found.values, Streamed)
    monkeypatch.undo()
    expected = load_observations([tmp_path / name], CNN, **options)
    assert isinstance(expected.values, np.ndarray)
    np.testing.assert_array_equal(found.values[:], expected.values)
    assert (found.chosen, found.scale, found.pixels) == (expected.chosen, expected.scale, True)


@pytest.mark.usefixtures("little_memory")
def test_what_is_wrong_is_found_in_every_piece(tmp_path: Path) -> None:
    values = FRAMES / np.float32(255)
    values[17, 2, 3, 4] = np.nan
    with pytest.raises(LrpdynError, match="first in sample 17"):
        load_observations([values], CNN)
    values[17, 2, 3, 4] = 3
    with pytest.raises(LrpdynError, match=r"lie in 0\.\.3,"):
        load_observations([values], CNN)
    with pytest.raises(LrpdynError, match=r"MiB cannot be kept in .*absent"):
        load_observations([FRAMES], CNN, folder=tmp_path / "absent")


def test_an_array_in_parts_is_the_file_that_numpy_writes(tmp_path: Path) -> None:
    for array in (FRAMES.astype(np.float32), FRAMES[:, 0, 0]):
        np.save(tmp_path / "whole.npy", array)
        parts = (array[start : start + 5] for start in range(0, len(array), 5))
        save_pieces(tmp_path / "parts.npy", array.shape, array.dtype, parts)
        assert (tmp_path / "parts.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert np.load(io.BytesIO((tmp_path / "parts.npy").read_bytes())).shape == (23, 7)


@pytest.mark.parametrize("dtype", ["<f4", "<f2", ">f8"])
def test_a_slice_is_what_numpy_reads(tmp_path: Path, dtype: str) -> None:
    array = np.random.default_rng(0).normal(size=(7, 2, 3)).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    stored = opened(tmp_path / "a.npy")
    assert (len(stored), stored.shape, stored.dtype) == (7, (7, 2, 3), array.dtype)
    for chosen in (slice(None), slice(2, 5), slice(6, 99), slice(-2, None), slice(3, 3)):
        found = stored[chosen]
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array[chosen])


def test_what_is_no_plain_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "fortran.npy", np.asfortranarray(np.ones((2, 3))))
    np.save(tmp_path / "empty.npy", np.ones((0, 3)))
    np.save(tmp_path / "short.npy", np.ones((2, 3)))
    content = (tmp_path / "short.npy").read_bytes()
    (tmp_path / "short.npy").write_bytes(content[:-1])
    for name, says in (("fortran", "C order"), ("empty", "no plain"), ("short", "it holds 47")):
        with pytest.raises(ValueError, match=says):
            opened(tmp_path / f"{name}.npy")


def test_a_file_that_becomes_shorter_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((8, 4)))
    stored = opened(tmp_path / "a.npy")
    os.truncate(tmp_path / "a.npy", 200)
    with pytest.raises(RunError, match=r"a\.npy: became shorter"):
        stored[4:8]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        # A megabyte of float64 is 131,072 numbers: 4 samples of 28,224, and one that is larger.
        ((10, 4, 84, 84), [(0, 4), (4, 8), (8, 10)]),
        ((2, 131_073), [(0, 1), (1, 2)]),
        ((2, 65_536), [(0, 2)]),
        ((0, 5), []),
        ((3,), [(0, 3)]),
    ],
)
def test_a_piece_is_up_to_a_megabyte_and_one_sample_at_least(
    shape: tuple[int, ...], expected: list[tuple[int, int]]
) -> None:
    assert [(piece.start, piece.stop) for piece in slices(shape, IN_CACHE)] == expected
