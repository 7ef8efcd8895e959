"""Frames made into stacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lrpdyn.errors import LrpdynError
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import load_observations

FRAMES = np.random.default_rng(0).integers(0, 256, (12, 9, 7), dtype=np.uint8)
CNN = Expected(channels=4, divisor=255.0, range=(0.0, 1.0))


def stacks(frames: np.ndarray, count: int) -> np.ndarray:
    rows = [frames[start : start + count] for start in range(len(frames) - count + 1)]
    return np.stack(rows).astype(np.float32) / np.float32(255)


@pytest.mark.parametrize("colours", [False, True])
def test_a_folder_of_frames_in_the_order_of_their_numbers(tmp_path: Path, colours: bool) -> None:
    for number, frame in enumerate(FRAMES):
        pixels = np.repeat(frame[..., None], 3, axis=2) if colours else frame
        Image.fromarray(pixels).save(tmp_path / f"frame_{number}.png")
    found = load_observations([tmp_path], CNN, stack=4)
    np.testing.assert_array_equal(found.values, stacks(FRAMES, 4))
    assert found.preparation["stack"] == 4
    files = [tmp_path / f"frame_{number}.png" for number in (7, 8, 9, 10)]
    single = load_observations(files, CNN, stack=4)
    np.testing.assert_array_equal(single.values, stacks(FRAMES[7:11], 4))


@pytest.mark.parametrize("shape", [(12, 9, 7), (12, 1, 9, 7), (12, 9, 7, 1)])
def test_an_array_of_frames(shape: tuple[int, ...]) -> None:
    found = load_observations([FRAMES.reshape(shape)], CNN, stack=4)
    np.testing.assert_array_equal(found.values, stacks(FRAMES, 4))


def test_the_newest_first() -> None:
    found = load_observations([FRAMES], CNN, stack=4, stack_order="newest")
    np.testing.assert_array_equal(found.values, stacks(FRAMES, 4)[:, ::-1])
    ready = np.stack([FRAMES[3::-1]])
    found = load_observations([ready], CNN, stack_order="newest")
    np.testing.assert_array_equal(found.values, stacks(FRAMES[:4], 4))


def test_colours_are_stacked_where_the_network_takes_them() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (5, 9, 7, 3), dtype=np.uint8)
    found = load_observations([frames], Expected(channels=6, divisor=1.0), stack=2)
    assert found.values.shape == (4, 6, 9, 7)
    np.testing.assert_array_equal(found.values[1, 3:], frames[2].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("array", "options", "says"),
    [
        (FRAMES[:3], {"stack": 4}, "3 frames, too few"),
        (FRAMES[0, 0], {"stack": 4}, r"\(T, H, W\)"),
        (FRAMES, {"stack": 0}, "--stack 0"),
        (FRAMES, {"stack": 4, "stack_order": "random"}, "oldest or newest"),
        (np.arange(12 * 9 * 7 * 3, dtype=np.uint8).reshape(12, 9, 7, 3), {"stack": 4}, "colours"),
    ],
)
def test_frames_that_cannot_be_stacked(array: np.ndarray, options: Any, says: str) -> None:
    with pytest.raises(LrpdynError, match=says):
        load_observations([array], CNN, **options)


def test_frames_of_different_sizes(tmp_path: Path) -> None:
    for number, size in enumerate((4, 4, 5)):
        Image.fromarray(np.zeros((size, 4), np.uint8)).save(tmp_path / f"{number}.png")
    with pytest.raises(LrpdynError, match=r"frames differ: \(4, 4\) uint8, \(5, 4\) uint8"):
        load_observations([tmp_path], Expected(channels=2, divisor=1.0), stack=2)
