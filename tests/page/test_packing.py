"""Maps as short text."""

import numpy as np
import pytest

from lrpdyn.page.packing import CHANGE_LEVELS, RELEVANCE_LEVELS, pack_map
from tests.page.unpacking import unpack


@pytest.mark.parametrize("levels", [RELEVANCE_LEVELS, CHANGE_LEVELS])
def test_values_come_back_to_within_what_is_promised(levels: int) -> None:
    values = np.random.default_rng(0).normal(size=(84, 84)) ** 3
    packed = pack_map(values, levels)
    again = unpack(packed.text, packed.largest, levels).reshape(84, 84)
    largest = np.abs(values).max()
    assert np.abs(again).max() == pytest.approx(largest)
    size = np.abs(values)
    # Half a level, by the slope of the square root.
    bound = np.sqrt(size * largest) / levels + largest / (2 * levels) ** 2
    assert (np.abs(again - values) <= bound * (1 + 1e-9)).all()
    assert (np.sign(again) * np.sign(values) >= 0).all()


def test_a_map_of_zeros_stays_zero() -> None:
    packed = pack_map(np.zeros((2, 3)), RELEVANCE_LEVELS)
    assert packed.largest == 0
    assert not unpack(packed.text, packed.largest, RELEVANCE_LEVELS).any()


def test_noise_of_a_long_run_stays_within_the_size_of_a_page() -> None:
    """200 steps of four maps of 84 x 84, of which nothing can be compressed: base64 less Bokeh."""
    generator = np.random.default_rng(0)
    relevance = generator.uniform(-1, 1, (84, 84)) * np.abs(generator.uniform(-1, 1, (84, 84)))
    change = generator.uniform(0, 1, (84, 84)) ** 2
    texts = [pack_map(relevance, RELEVANCE_LEVELS).text, pack_map(change, CHANGE_LEVELS).text]
    assert 800 * sum(map(len, texts)) < 13.4e6
