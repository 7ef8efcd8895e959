"""The order of axes follows from the network, or is refused where it may be read in several ways."""

from __future__ import annotations

import numpy as np
import pytest

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.files.streamed import in_memory
from lrpdyn.observations.layout import Expected, arrange
from lrpdyn.observations.loading import load_observations

CNN = Expected(channels=4, divisor=255.0, range=(0.0, 1.0))
FLAT = Expected(features=6)
STACK = np.random.default_rng(0).integers(0, 256, (2, 4, 10, 12), dtype=np.uint8)
FRAMES = np.random.default_rng(0).integers(0, 256, (12, 9, 7), dtype=np.uint8)


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


def test_flat() -> None:
    rows = np.arange(12.0).reshape(2, 6)
    assert load_observations([rows], FLAT).values.shape == (2, 6)
    assert load_observations([rows[0]], FLAT).values.shape == (1, 6)


@pytest.mark.parametrize("last", [True, False])
def test_stacks_of_five_dimensions(last: bool) -> None:
    ready = FRAMES.reshape(3, 4, 9, 7)
    given = ready[..., None] if last else ready[:, :, None]
    found = load_observations([given], CNN)
    np.testing.assert_array_equal(found.values, ready.astype(np.float32) / np.float32(255))
    assert found.layout == ("NKHWC" if last else "NKCHW")


@pytest.mark.parametrize(
    ("shape", "expected", "layout", "arranged"),
    [
        ((4, 10, 12), Expected(channels=4), "CHW", (1, 4, 10, 12)),
        ((10, 12, 4), Expected(channels=4), "HWC", (1, 4, 10, 12)),
        ((2, 10, 12), Expected(channels=1), "NHW", (2, 1, 10, 12)),
        ((10, 12), Expected(channels=1), "HW", (1, 1, 10, 12)),
        ((2, 6), FLAT, "NF", (2, 6)),
        ((2, 2, 3), FLAT, "NHW", (2, 1, 2, 3)),
        ((2, 3), FLAT, "HW", (1, 1, 2, 3)),
        ((6,), FLAT, "F", (1, 6)),
    ],
)
def test_the_layout_that_fits(
    shape: tuple[int, ...], expected: Expected, layout: str, arranged: tuple[int, ...]
) -> None:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    found, name = arrange(in_memory(values), "the array", expected, None)
    assert (name, found.shape) == (layout, arranged)
    assert found[:].shape == arranged
    again, _ = arrange(in_memory(values), "the array", expected, layout)
    np.testing.assert_array_equal(found[:], again[:])


def test_what_fits_in_several_ways_or_in_none_is_refused() -> None:
    with pytest.raises(ObservationError, match="may be NCHW or NHWC; say which with --layout"):
        arrange(in_memory(np.zeros((2, 4, 8, 4))), "a.npy", CNN, None)
    with pytest.raises(ObservationError, match="which takes 4 channels"):
        arrange(in_memory(np.zeros((2, 3, 8, 8))), "a.npy", CNN, None)
    with pytest.raises(ObservationError, match="which takes 6 entries for each sample"):
        arrange(in_memory(np.zeros((2, 5))), "a.npy", FLAT, None)
    with pytest.raises(UsageError, match=r"--layout HWC: a\.npy has 4 dimensions"):
        arrange(in_memory(np.zeros((2, 3, 8, 8))), "a.npy", CNN, "HWC")


def test_it_is_said_that_images_are_taken_as_they_are() -> None:
    plain, images = Expected(channels=3), np.full((2, 3, 4, 4), 200.0, np.float32)
    (note,) = load_observations([images], plain).notes
    assert "--scale imagenet" in note
    for given in ({"scale": "none"}, {"scale": 255}, {"mean": 1.0, "std": 1.0}):
        assert load_observations([images], plain, **given).notes == ()
    assert load_observations([-images], plain).notes == ()


def test_single_frames_are_told_how_to_be_stacked() -> None:
    with pytest.raises(ObservationError, match="--stack 4 makes them stacks"):
        load_observations([FRAMES], CNN)
    with pytest.raises(ObservationError, match="as the environment of the training does"):
        load_observations([np.zeros((9, 7, 12, 4, 1), np.uint8)], CNN)


@pytest.mark.parametrize(
    ("array", "layout"),
    [
        (STACK[:, None].repeat(3, 1), "NTCHW"),
        (np.moveaxis(STACK, 1, -1)[:, None].repeat(3, 1), "NTHWC"),
    ],
)
def test_sequences_of_images(array: np.ndarray, layout: str) -> None:
    """The order of the axes of each is found, and that of the frames of each may be turned round."""
    expected = Expected(channels=4, divisor=255.0, range=(0.0, 1.0), recurrent=True)
    wanted = STACK[:, None].repeat(3, 1).astype(np.float32) / np.float32(255)
    found = load_observations([array], expected)
    assert found.layout == layout
    np.testing.assert_array_equal(found.values, wanted)
    turned = load_observations([array], expected, stack_order="newest")
    np.testing.assert_array_equal(turned.values, wanted[:, :, ::-1])
    with pytest.raises(ObservationError, match="does not fit the network, which takes 4 channels"):
        load_observations([array], CNN)
    with pytest.raises(
        UsageError, match=f"--layout {layout}: sequences are for recurrent networks"
    ):
        load_observations([array], CNN, layout=layout)
    assert load_observations([array], expected, layout=layout).values.shape == wanted.shape


def test_sequences_of_vectors() -> None:
    space = {"kind": "Box", "shape": (6,), "dtype": "float32", "low": None, "high": None}
    rows = np.arange(36.0).reshape(2, 3, 6)
    known = {"features": 6, "shape": (6,), "space": space}
    found = load_observations([rows], Expected(**known, recurrent=True))
    np.testing.assert_array_equal(found.values, rows)
    with pytest.raises(ObservationError, match=r"have shape \(3, 6\) for each sample"):
        load_observations([rows], Expected(**known))
