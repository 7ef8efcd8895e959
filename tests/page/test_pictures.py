"""The pictures of a page beside the arrays of its run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.dynamics.measures import normalise
from lrpdyn.page import pictures
from lrpdyn.page.page import page_of
from lrpdyn.page.pictures import CHANGE_LEVELS, RELEVANCE_LEVELS, observations_of, pack_map
from tests.page.unpacking import almost, unpack, unpack_bytes, values_of


def test_maps_are_those_of_the_run_summed_over_channels(image_run: lrpdyn.Run) -> None:
    page = page_of(image_run)
    relevance, change = page.views["relevance"], page.views["change"]
    assert page.steps == page.kept.steps == image_run.steps
    assert page.samples == (0, 1, 2, 3)
    for place, step in enumerate(image_run.steps):
        now = image_run.relevance[step].astype(float)
        for sample in range(4):
            assert almost(values_of(relevance, place, sample), now[sample].sum(axis=0), 127)
    before, after = (image_run.relevance[s].astype(float) for s in image_run.steps[2:4])
    exact = np.abs(after - before).sum(axis=1)
    assert exact.max() > 0
    assert almost(values_of(change, 3, 2), exact[2], 63)
    assert change.maps[0] == [None] * 4
    assert almost(values_of(page.views["dynamics"], 0, 1), image_run.dynamics[1].sum(axis=0), 127)
    assert not relevance.signed


def test_the_observation_is_the_newest_frame(image_run: lrpdyn.Run) -> None:
    seen = page_of(image_run).observations
    assert seen.choices[seen.shown] == "channel 3 (last)"
    assert len(seen.choices) == len(seen.pictures) == 4
    for channel, (low, high) in enumerate(zip(seen.low, seen.high, strict=True)):
        text = seen.pictures[channel][3]
        shown = np.frombuffer(unpack_bytes(text), np.uint8).reshape(84, 84) / 255
        exact = image_run.observations[3, channel]
        np.testing.assert_allclose(low + shown * (high - low), exact, atol=2e-3)
    assert (seen.height, seen.width, seen.channels) == (84, 84, 1)


def test_of_many_channels_the_last_alone_is_kept(
    image_run: lrpdyn.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MOST_CHOICES", 4 * 84 * 84 - 1)
    seen = observations_of(image_run, [1])
    assert (seen.choices, seen.shown, len(seen.pictures)) == ((), 0, 1)
    last = np.frombuffer(unpack_bytes(seen.pictures[0][0]), np.uint8).reshape(84, 84)
    assert np.corrcoef(last.ravel(), image_run.observations[1, -1].ravel())[0, 1] > 0.999


def test_normalised_runs_show_normalised_maps(
    mlp_folder: Any, vectors: NDArray[np.float32], tmp_path: Any
) -> None:
    run = lrpdyn.compute(mlp_folder, vectors, out=tmp_path / "run", rule="epsilon", normalize="l1",
                         arch_args={"activation": "tanh"}, quiet=True)  # fmt: skip
    page = page_of(run)
    exact = normalise(run.relevance[run.steps[1]], "l1")
    assert almost(values_of(page.views["relevance"], 1, 3), exact[3], 127)
    change = np.abs(exact - normalise(run.relevance[run.steps[0]], "l1"))
    assert almost(values_of(page.views["change"], 1, 3), change[3], 63)


def test_flat_observations_are_numbers_and_no_pictures(flat_run: lrpdyn.Run) -> None:
    seen = observations_of(flat_run, [3, 1])
    assert (seen.height, seen.width, seen.channels, seen.pictures) == (1, 6, 0, [])
    np.testing.assert_allclose(seen.values, flat_run.observations[[3, 1]], rtol=1e-4)


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
