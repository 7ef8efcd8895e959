"""The channels of an observation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas import maps
from lrpdyn.figures.canvas.words import About
from lrpdyn.figures.drawings.channels import draw_channels


def _draw(shape: tuple[int, ...], **changes: Any) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(0)
    arrays = tuple(random.normal(size=shape) for _ in range(4))
    observation, dynamics, net, relevance = arrays
    given: dict[str, Any] = {"steps": [0, 10, 20], "shown": [10, 20], **changes}
    draw_channels("a.png", observation, np.abs(dynamics), np.abs(net), lambda step: relevance * step,
                  sample=3, about=About(rule="zplus", question="q"), **given)  # fmt: skip
    return arrays


def test_each_channel_has_a_row_and_nothing_is_summed(saved: list[Figure]) -> None:
    _, dynamics, net, relevance = _draw((4, 8, 6))
    drawn = [
        np.asarray(i.get_array())
        for i in maps.drawn_maps(saved[0])
        if i.get_array().shape == (8, 6)
    ]
    assert len(drawn) == 4 * 5
    for channel in range(4):
        row = drawn[5 * channel : 5 * channel + 5]
        expected = (np.abs(dynamics), np.abs(net), relevance * 10, relevance * 20)
        for shown, values in zip(row[1:], expected, strict=True):
            np.testing.assert_array_equal(shown, values[channel])
    limits = {image.get_clim() for image in maps.drawn_maps(saved[0])}
    largest = float(np.abs(relevance * 20).max())
    assert (-largest, largest) in limits
    words = saved[0].get_label() + " ".join(text.get_text() for text in saved[0].texts)
    assert "4 channels; of a stack the last is the newest" in words


def test_sixteen_channels_are_drawn_at_most(saved: list[Figure]) -> None:
    _draw((20, 8, 8), shown=[20])
    words = saved[0].get_label() + " ".join(text.get_text() for text in saved[0].texts)
    assert "16 of 20 channels" in words
    assert "channel 15" in words
    assert "channel 16" not in words


def test_flat_observations_and_too_many_steps_are_refused() -> None:
    with pytest.raises(UsageError, match=r"sample 3 has shape \(6,\), flat"):
        _draw((6,))
    with pytest.raises(UsageError, match="7 steps; 6 fit at most"):
        _draw((1, 4, 4), steps=range(9), shown=range(7))


def test_relevance_summed_over_channels_is_refused() -> None:
    values = np.ones((4, 8, 6))
    with pytest.raises(UsageError, match="summed over channels"):
        draw_channels("a.png", values, values, values, lambda step: values[0], steps=[0], shown=[0],
                      sample=3, about=About(rule="zplus", question="q"))  # fmt: skip
