"""Files of observations: opened, and read only where they are used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrpdyn.errors import LrpdynError
from lrpdyn.observations import reading
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import load_observations
from lrpdyn.observations.reading import files_inside, open_observations, shapes_inside

FLAT = Expected(features=6)
STACK = np.random.default_rng(0).integers(0, 256, (2, 4, 10, 12), dtype=np.uint8)
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3, 5, 4), dtype=np.uint8)


def test_pictures(tmp_path: Path) -> None:
    pixels = STACK[0, :3].transpose(1, 2, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = load_observations([tmp_path / "a.png"], Expected(channels=3), scale="255")
    np.testing.assert_array_equal(
        found.values[0], STACK[0, :3].astype(np.float32) / np.float32(255)
    )
    Image.fromarray(STACK[0, 0]).save(tmp_path / "grey.png")
    grey = load_observations([tmp_path / "grey.png"], Expected(channels=1, divisor=1.0))
    assert grey.values.shape == (1, 1, 10, 12)


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY nonsense")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("a.npy", "objects.npy", "nothing.npy", "a.txt"):
        with pytest.raises(LrpdynError, match=name):
            load_observations([tmp_path / name], FLAT)


def test_arrays_of_a_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "play.npz", obs=PIXELS, rewards=np.zeros(3))
    with pytest.raises(
        LrpdynError, match=r"obs, rewards, and more than one; say which as play.npz:obs"
    ):
        load_observations([tmp_path / "play.npz"], Expected(channels=3), scale=255)
    found = load_observations([f"{tmp_path}/play.npz:obs"], Expected(channels=3), scale=255)
    np.testing.assert_array_equal(found.values, PIXELS.astype(np.float32) / np.float32(255))
    with pytest.raises(LrpdynError, match="none called other"):
        load_observations([f"{tmp_path}/play.npz:other"], Expected(channels=3), scale=255)


def test_numbers_in_names_are_ordered_as_numbers(tmp_path: Path) -> None:
    for name in ("frame_10.png", "frame_9.PNG", "frame_9b.npy", "notes.txt", "a.npz"):
        (tmp_path / name).touch()
    found = [path.name for path in files_inside(tmp_path)]
    assert found == ["a.npz", "frame_9.PNG", "frame_9b.npy", "frame_10.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(LrpdynError, match=r"holds no .npy, .npz, .png or .jpg file"):
        files_inside(tmp_path / "empty")


def test_a_picture_is_decoded_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(STACK[0, 0]).save(tmp_path / "a.png")
    decoded: list[Path] = []
    decode = reading.read_picture

    def count(path: Path, *modes: str) -> np.ndarray:
        decoded.append(path)
        return decode(path, *modes)

    monkeypatch.setattr(reading, "read_picture", count)
    found = open_observations(tmp_path / "a.png", None)
    assert (found.shape, decoded) == ((10, 12), [])
    np.testing.assert_array_equal(found[2:5], STACK[0, 0, 2:5])
    assert decoded == [tmp_path / "a.png"]


def test_shapes_of_a_npz_without_its_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "play.npz", obs=PIXELS, reward=np.float32(1))
    assert shapes_inside(tmp_path / "play.npz") == {"obs": (3, 3, 5, 4), "reward": ()}
    np.save(tmp_path / "array.npy", PIXELS)
    (tmp_path / "array.npy").rename(tmp_path / "renamed.npz")
    assert shapes_inside(tmp_path / "renamed.npz") == {}
