"""The value that observations hold most often, whether they fit in memory or are read in pieces."""

from __future__ import annotations

import numpy as np
import pytest

from lrpdyn.files import streamed
from lrpdyn.files.streamed import in_memory
from lrpdyn.observations import background
from lrpdyn.observations.background import modal_pixel, modal_value


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work on five pictures at a time."""
    monkeypatch.setattr(streamed, "_ENTRIES", 5 * 4 * 9 * 7)


def test_modal_value_is_the_background() -> None:
    assert modal_value(np.array([[0.5, 0.25, 0.5], [0.5, 1, 0]], dtype=np.float32)) == 0.5


@pytest.mark.usefixtures("little_memory")
def test_the_modal_value_of_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    few = (generator.integers(0, 40, (60, 4, 9, 7)) / 40).astype(np.float32)
    many = generator.random((60, 4, 9, 7), dtype=np.float32)
    many[::2, :, 0] = np.float32(0.625)
    monkeypatch.setattr(background, "MOST_VALUES", 100)
    for values in (few, many):
        found, counts = np.unique(values, return_counts=True)
        assert modal_value(in_memory(values)) == float(found[counts.argmax()])
    assert modal_value(in_memory(many[1::2])) in many


@pytest.mark.parametrize("scale", [1.0, 255.0, 256.0, 7.3])
def test_the_modal_value_of_pixels(scale: float) -> None:
    generator = np.random.default_rng(1)
    pixels = generator.integers(0, 256, (60, 4, 9, 7), dtype=np.uint8)
    for most in (0, 97, 255):
        pixels[::2, :, 0] = most
        values = pixels.astype(np.float32) / np.float32(scale)
        assert modal_pixel(values, scale) == modal_value(values)


def test_the_least_of_values_that_are_as_frequent_is_taken() -> None:
    values = np.array([[0.75, 0.25], [0.25, 0.75]], dtype=np.float32)
    assert modal_value(in_memory(values)) == 0.25


@pytest.mark.usefixtures("little_memory")
def test_what_is_rare_in_the_last_piece_counts_as_much_in_the_first() -> None:
    values = np.full((11, 4, 9, 7), 0.25, dtype=np.float32)
    values[:6] = 0.75
    assert modal_value(in_memory(values)) == 0.75
    assert modal_pixel(in_memory(values), 4.0) == 0.75
