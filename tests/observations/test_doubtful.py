"""Observations that may be wrong are found among ordinary ones, and ordinary ones are not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lrpdyn.demo import play
from lrpdyn.files.streamed import in_memory
from lrpdyn.observations.doubtful import Doubt, find_doubtful, line_of

Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def catch() -> Array:
    """Different frames of the demo's game, played at random; 0 to 1."""
    dice = np.random.default_rng(3)
    states, _, _ = play(lambda seen: dice.integers(0, 3, len(seen)), 30, dice)
    frames = np.concatenate([state.observations for state in states]).astype(np.float32) / 255
    different = np.unique(frames, axis=0)
    return different[dice.permutation(len(different))[:16]]


@pytest.fixture(scope="module")
def smooth() -> Array:
    """Pictures of soft blobs on a grey slope, no entry at an end of the range."""
    dice, (down, right) = np.random.default_rng(4), np.mgrid[:24, :24]
    found = []
    for _ in range(16):
        row, column = dice.uniform(4, 20, 2)
        blob = np.exp(-((down - row) ** 2 + (right - column) ** 2) / 18)
        found.append([0.2 + 0.2 * right / 24 + 0.3 * blob])
    return np.array(found, dtype=np.float32)


def kinds(values: Array, bounds: tuple[float, float] | None = (0.0, 1.0)) -> dict[str, list[int]]:
    return {doubt.what: list(doubt.samples) for doubt in find_doubtful(values, bounds)}


def planted(values: Array, place: int, sample: Array) -> Array:
    return np.concatenate([values[:place], sample[None], values[place + 1 :]]).astype(np.float32)


@pytest.mark.parametrize("name", ["catch", "smooth"])
def test_wrong_ones_are_found_in_pictures(name: str, request: pytest.FixtureRequest) -> None:
    values: Array = request.getfixturevalue(name)
    noise = np.random.default_rng(0).uniform(0, 1, values[0].shape).astype(np.float32)
    assert not kinds(values)
    assert kinds(planted(values, 3, np.zeros_like(values[3]))) == {"constant": [3]}
    assert kinds(planted(values, 3, values[9])) == {"equal": [3, 9]}
    assert kinds(planted(values, 3, noise)) == {"noise": [3]}
    assert kinds(planted(values, 3, values[3] * 255)) == {"scale": [3]}
    assert kinds(planted(values, 3, values[3] / 255)) == {"scale": [3]}


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
def test_clipped_ones_are_found_with_and_without_known_bounds(
    smooth: Array, bounds: tuple[float, float] | None
) -> None:
    bright, dark = np.clip(smooth[3] * 3, 0, 1), np.clip(smooth[3] - 0.35, 0.1, 1)
    assert kinds(planted(smooth, 3, bright), bounds) == {"clipped": [3]}
    assert kinds(planted(smooth, 3, dark), None if bounds is None else (0.1, 1.0)) == {
        "clipped": [3]
    }


def test_noise_that_reaches_the_end_of_the_range_is_noise_next_to_a_clipped_one(
    smooth: Array,
) -> None:
    noise = np.random.default_rng(0).integers(0, 41, smooth[0].shape) / np.float32(40)
    both = planted(planted(smooth, 3, noise), 5, np.clip(smooth[5] * 3, 0, 1))
    assert kinds(both) == {"noise": [3], "clipped": [5]}


def test_two_values_alone_are_not_clipped(catch: Array) -> None:
    assert not kinds((catch > 0.5).astype(np.float32))


def test_wrong_ones_are_found_in_features() -> None:
    dice = np.random.default_rng(5)
    # Features that hang together, as those of a state do: few directions, different units.
    values = dice.normal(size=(40, 3)) @ dice.normal(size=(3, 12)) * np.logspace(0, 2, 12)
    values = np.asarray(values, dtype=np.float32)
    noise = dice.uniform(values.min(), values.max(), 12).astype(np.float32)
    assert not kinds(values, None)
    assert kinds(planted(values, 7, noise), None) == {"noise": [7]}
    assert kinds(planted(values, 7, values[7] * 255), None) == {"scale": [7]}


def test_few_are_not_compared_and_short_ones_may_be_constant(smooth: Array) -> None:
    noise = np.random.default_rng(0).uniform(0, 1, smooth[0].shape).astype(np.float32)
    assert not kinds(planted(smooth[:3], 1, noise))
    assert kinds(planted(smooth[:4], 1, noise)) == {"noise": [1]}
    assert not kinds(np.array([[2, 2], [1, 2], [3, 2]], dtype=np.float32), None)
    assert kinds(np.zeros((1, 1, 4, 4), dtype=np.float32)) == {"constant": [0]}


def test_equal_ones_differ_by_what_is_fixed_next_to_them(smooth: Array) -> None:
    twice = planted(smooth, 3, smooth[9])
    hidden = np.arange(16, dtype=np.float32)[:, None]
    assert not find_doubtful(twice, fixed={"hidden": hidden})
    assert find_doubtful(twice, fixed={"hidden": hidden * 0})


def test_values_are_read_a_few_at_a_time_with_the_same_result() -> None:
    dice = np.random.default_rng(6)
    values = dice.uniform(0.2, 0.8, (40, 1, 1, 1)) + dice.uniform(0, 0.1, (40, 4, 1, 1))
    slope = np.linspace(0, 0.1, 84)[:, None] * np.linspace(0, 1, 84)
    values = np.asarray(values + slope, dtype=np.float32)
    values[30] = 0
    values[35] = values[2]
    assert find_doubtful(in_memory(values)) == find_doubtful(values)
    assert kinds(values) == {"constant": [30], "equal": [2, 35]}


def test_large_values_do_not_overflow(smooth: Array) -> None:
    assert kinds(planted(smooth, 3, smooth[3] * np.float32(1e37)), None) == {"scale": [3]}


def test_the_line_says_which_and_how_to_leave_them_out(smooth: Array) -> None:
    values = planted(planted(smooth, 3, np.zeros_like(smooth[3])), 5, smooth[9])
    assert line_of(find_doubtful(values), range(16)) == (
        "Observations: 3 of 16 may be wrong: samples 5 and 9 are equal, sample 3 is constant (a black "
        "frame?); to leave them out: --samples 0-2,4-8,10-15"
    )
    numbers = [10 * number for number in range(16)]
    assert line_of(find_doubtful(values), numbers).endswith("--samples ...")
    only = Doubt(what="constant", samples=(0,), words="sample 0 is constant")
    assert line_of([only], [4]).endswith("leave them out: other files")


def test_many_groups_of_equal_ones_are_counted(smooth: Array) -> None:
    doubts = find_doubtful(np.concatenate([smooth, smooth]))
    assert [len(doubt.samples) for doubt in doubts] == [2, 2, 2, 26]
    assert doubts[-1].words == "13 more are equal to an earlier one"
