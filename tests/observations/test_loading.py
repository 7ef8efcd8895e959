"""Files and arrays as users have them: arranged, scaled, or refused with the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lrpdyn.errors import LrpdynError
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import load_observations

CNN = Expected(channels=4, divisor=255.0, range=(0.0, 1.0))
FLAT = Expected(features=6)
STACK = np.random.default_rng(0).integers(0, 256, (2, 4, 10, 12), dtype=np.uint8)


@pytest.mark.parametrize(
    ("array", "layout"),
    [
        (STACK, "NCHW"),
        (np.moveaxis(STACK, 1, -1), "NHWC"),
    ],
)
def test_layouts_of_several(array: np.ndarray, layout: str) -> None:
    found = load_observations([array], CNN)
    assert found.layout == layout
    np.testing.assert_array_equal(found.values, STACK.astype(np.float32) / np.float32(255))


def test_one_sample_files_and_choice(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", STACK[0])
    np.savez(tmp_path / "b.npz", x=np.moveaxis(STACK[1], 0, -1))
    found = load_observations([tmp_path], CNN)
    np.testing.assert_array_equal(found.values, STACK.astype(np.float32) / np.float32(255))
    chosen = load_observations([STACK], CNN, samples="1")
    np.testing.assert_array_equal(chosen.values, found.values[1:])


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


def test_flat() -> None:
    rows = np.arange(12.0).reshape(2, 6)
    assert load_observations([rows], FLAT).values.shape == (2, 6)
    assert load_observations([rows[0]], FLAT).values.shape == (1, 6)


@pytest.mark.parametrize(
    ("array", "expected", "options", "says"),
    [
        (np.zeros((2, 3, 8, 8), np.uint8), CNN, {}, "4 channels"),
        (np.zeros((2, 4, 8, 4), np.uint8), CNN, {}, "--layout"),
        (np.full((1, 4, 8, 8), 200.0), CNN, {}, "--scale 255"),
        (
            np.full((1, 4, 8, 8), 0.5),
            Expected(channels=4, divisor=1.0, range=(0.0, 255.0)),
            {},
            "--scale",
        ),
        (STACK, Expected(channels=4), {}, "--scale"),
        (np.full((1, 4, 8, 8), np.nan), CNN, {}, "NaN"),
        (STACK, CNN, {"samples": "0,7"}, "from 0 to 1"),
        (STACK, CNN, {"samples": "x"}, "--samples"),
        (STACK, CNN, {"scale": "x"}, "--scale"),
        (STACK, Expected(channels=4, divisor=255.0, shape=(4, 84, 84)), {}, "trained on"),
        (np.zeros((2, 5)), FLAT, {}, "6 entries"),
        (np.array(["a"]), FLAT, {}, "expected numbers"),
    ],
)
def test_refused(array: np.ndarray, expected: Expected, options: dict[str, Any], says: str) -> None:
    with pytest.raises(LrpdynError, match=says):
        load_observations([array], expected, **options)


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY nonsense")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("a.npy", "objects.npy", "nothing.npy", "a.txt"):
        with pytest.raises(LrpdynError, match=name):
            load_observations([tmp_path / name], FLAT)


def test_the_name_of_before_the_rooms() -> None:
    from lrpdyn import observations

    assert observations.load_observations is load_observations
    with pytest.raises(AttributeError, match="nothing"):
        observations.nothing  # noqa: B018 - there is no such name
