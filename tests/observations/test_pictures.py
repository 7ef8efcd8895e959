"""Pictures as people save them: alpha, palettes, grey as colours; refused where that is not exact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from gymnasium import spaces
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from PIL import Image

from lrpdyn.errors import ObservationError
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import load_observations
from lrpdyn.observations.pictures import ALPHA_DROPPED
from tests.observations.policies import assert_as_the_framework, explained, save

GREY = np.random.default_rng(0).integers(0, 256, (6, 36, 36), dtype=np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (2, 36, 36, 3), dtype=np.uint8)
STACKS = np.stack([GREY[start : start + 4] for start in range(3)])

Save = Callable[[Path, NDArray[np.uint8]], None]


def _with_pyplot(path: Path, pixels: NDArray[np.uint8]) -> None:
    plt.imsave(path, np.dstack([pixels] * 3))  # RGBA, as it always writes


def _as(mode: str) -> Save:
    return lambda path, pixels: Image.fromarray(pixels).convert(mode).save(path)


def _palette(path: Path, pixels: NDArray[np.uint8]) -> None:
    image = Image.fromarray(255 - pixels, mode="P")
    image.putpalette([255 - level for level in range(256) for _ in range(3)])
    image.save(path)


SAVED: dict[str, Save] = {
    "pyplot": _with_pyplot, "L": _as("L"), "RGB": _as("RGB"), "RGBA": _as("RGBA"), "LA": _as("LA"),
    "palette": _palette,
}  # fmt: skip


@pytest.mark.parametrize("how", SAVED)
def test_grey_frames_are_stacked_however_they_are_saved(how: str, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, pixels in enumerate(GREY):
        SAVED[how](frames / f"frame_{number}.png", pixels)
    models = save(tmp_path, spaces.Box(0, 255, (4, 36, 36), np.uint8), "CnnPolicy")
    job = assert_as_the_framework(tmp_path, models, STACKS, frames, stack=4)
    assert (ALPHA_DROPPED in job.observations.notes) == (how in ("pyplot", "RGBA", "LA"))
    if how in ("pyplot", "RGBA", "LA"):
        says = r"RGBA pictures, and the network takes 4 channels .*--stack 4"
        with pytest.raises(ObservationError, match=says):
            explained(tmp_path, frames)


@pytest.mark.parametrize("policy", ["CnnPolicy", "MlpPolicy"])
@pytest.mark.parametrize("how", ["pyplot", "RGB", "palette"])
def test_grey_pictures_are_one_channel(how: str, policy: str, tmp_path: Path) -> None:
    SAVED[how](tmp_path / "one.png", GREY[0])
    models = save(tmp_path, spaces.Box(0, 255, (1, 36, 36), np.uint8), policy)
    assert_as_the_framework(tmp_path, models, GREY[:1, None], tmp_path / "one.png")
    Image.fromarray(COLOURS[0]).save(tmp_path / "colours.png")
    with pytest.raises(ObservationError, match="the frames have colours"):
        explained(tmp_path, tmp_path / "colours.png")


@pytest.mark.parametrize("policy", ["CnnPolicy", "MlpPolicy"])
def test_colours_lose_their_alpha(policy: str, tmp_path: Path) -> None:
    for number, pixels in enumerate(COLOURS):
        plt.imsave(tmp_path / f"{number}.png", pixels)
    models = save(tmp_path, spaces.Box(0, 255, (36, 36, 3), np.uint8), policy)
    job = assert_as_the_framework(
        tmp_path, models, COLOURS, [tmp_path / "0.png", tmp_path / "1.png"]
    )
    assert job.observations.notes == (ALPHA_DROPPED,)


def test_pictures_of_four_channels_are_taken_where_that_is_said(tmp_path: Path) -> None:
    pixels = np.dstack([COLOURS[0], GREY[0]])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    models = save(tmp_path, spaces.Box(0, 255, (36, 36, 4), np.uint8), "CnnPolicy")
    with pytest.raises(ObservationError, match="--layout HWC"):
        explained(tmp_path, tmp_path / "a.png")
    assert_as_the_framework(tmp_path, models, pixels, tmp_path / "a.png", layout="HWC")


@pytest.mark.parametrize("most", [255, 1.0])
def test_arrays_whose_last_channel_is_alpha_are_asked_about(most: float, tmp_path: Path) -> None:
    plt.imsave(tmp_path / "a.png", GREY[0], cmap="gray")
    read = plt.imread(tmp_path / "a.png")[None]  # floats, RGBA
    array = (read * 255).astype(np.uint8) if most == 255 else read
    network = Expected(channels=4, divisor=255.0, range=(0.0, 1.0))
    with pytest.raises(
        ObservationError, match=r"last of 4 channels is \d+ everywhere, as alpha is"
    ):
        load_observations([array], network)
    assert load_observations([array], network, layout="NHWC").values.shape == (1, 4, 36, 36)
    white = np.full((1, 36, 36, 4), array.max())
    assert len(load_observations([white], network).values) == 1


def _varying_alpha(path: Path) -> None:
    Image.fromarray(np.dstack([COLOURS[0], GREY[0]])).save(path)


def _transparent_colour(path: Path) -> None:
    Image.fromarray(COLOURS[0]).save(path, transparency=tuple(map(int, COLOURS[0, 0, 0])))


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("a.png", _varying_alpha, "alpha channel varies"),
        ("a.png", _transparent_colour, "alpha channel varies"),
        (
            "a.png",
            lambda path: Image.fromarray(GREY[0].astype(np.uint16) * 257).save(path),
            "16 bits",
        ),
        (
            "a.png",
            lambda path: cv2.imwrite(str(path), COLOURS[0].astype(np.uint16) * 257),
            "16 bits",
        ),
        ("a.jpg", lambda path: Image.fromarray(COLOURS[0]).convert("CMYK").save(path), "are CMYK"),
    ],
)
def test_pixels_that_would_be_changed_are_refused(
    name: str, write: Callable[[Path], object], says: str, tmp_path: Path
) -> None:
    write(tmp_path / name)
    with pytest.raises(ObservationError, match=f"{name}.*{says}"):
        load_observations([tmp_path / name], Expected(channels=3, divisor=255.0))


def test_black_and_white_is_0_and_255(tmp_path: Path) -> None:
    Image.fromarray(GREY[0]).convert("1").save(tmp_path / "a.png")
    found = load_observations([tmp_path / "a.png"], Expected(channels=1, divisor=1.0)).values
    assert np.unique(found[:]).tolist() == [0, 255]
