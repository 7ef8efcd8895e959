"""A shelf gives back what was put on it, in memory and in files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lrpdyn.dynamics import scratch
from lrpdyn.dynamics.scratch import Shelf

SAMPLES = 7


@pytest.fixture(params=["memory", "files"])
def shelf(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shelf]:
    """A shelf of two arrays."""
    if request.param == "files":
        monkeypatch.setattr(scratch, "LARGEST_IN_MEMORY", 0)
    shelf = Shelf(SAMPLES, tmp_path)
    shelf.add("maps", (2, 3), np.float64)
    shelf.add("places", (), np.int32)
    assert len(shelf._files) == (2 if request.param == "files" else 0)
    yield shelf
    shelf.close()


def test_arrays_are_zero_at_first(shelf: Shelf) -> None:
    found = shelf.read(slice(2, 5), ["maps", "places"])
    assert (found["maps"].shape, found["maps"].dtype) == ((3, 2, 3), np.float64)
    assert (found["places"].shape, found["places"].dtype) == ((3,), np.int32)
    assert not found["maps"].any()
    assert not found["places"].any()


def test_pieces_that_are_written_make_the_whole(shelf: Shelf) -> None:
    maps = np.random.default_rng(0).normal(size=(SAMPLES, 2, 3))
    for piece in (slice(4, SAMPLES), slice(0, 4)):
        shelf.write(piece, "maps", maps[piece])
    shelf.write(slice(2, 4), "places", 5)
    found = shelf.read(slice(0, SAMPLES), ["maps", "places"])
    np.testing.assert_array_equal(found["maps"], maps)
    assert found["places"].tolist() == [0, 0, 5, 5, 0, 0, 0]


def test_what_is_taken_down_and_changed_is_put_back(shelf: Shelf) -> None:
    with shelf.taken(slice(1, 3), ["maps", "places"]) as first:
        with shelf.taken(slice(3, 5), ["places"]) as other:
            other["places"] += 2
        first["maps"][1, 0] = [1, 2, 3]
        first["places"][...] = 9
    found = shelf.read(slice(0, SAMPLES), ["maps", "places"])
    assert found["places"].tolist() == [0, 9, 9, 2, 2, 0, 0]
    assert found["maps"][2].tolist() == [[1, 2, 3], [0, 0, 0]]
    assert found["maps"].sum() == 6


def test_arrays_go_to_files_without_names_once_memory_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "LARGEST_IN_MEMORY", 10 * SAMPLES * 8)
    in_folder, nowhere = Shelf(SAMPLES, tmp_path), Shelf(SAMPLES, None)
    for name in ("first", "second", "third"):
        in_folder.add(name, (4,), np.float64)
        nowhere.add(name, (4,), np.float64)
    assert list(in_folder._files) == ["third"]
    assert not nowhere._files
    assert not list(tmp_path.iterdir())
    in_folder._files["third"].truncate(100)
    with pytest.raises(OSError, match="shorter than it was"):
        in_folder.read(slice(0, SAMPLES), ["third"])
    in_folder.close()
    assert in_folder._files["third"].closed
