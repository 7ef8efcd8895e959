"""Arrays in files are read by slices of samples, in pieces that their shape alone decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lrpdyn.files.stored import Stored, pieces


@pytest.mark.parametrize("dtype", ["<f4", "<f2", ">f8"])
def test_a_slice_is_what_numpy_reads(tmp_path: Path, dtype: str) -> None:
    array = np.random.default_rng(0).normal(size=(7, 2, 3)).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    stored = Stored(tmp_path / "a.npy")
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
            Stored(tmp_path / f"{name}.npy")


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
    assert [(piece.start, piece.stop) for piece in pieces(shape)] == expected
