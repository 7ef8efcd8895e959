"""Colour scales, and observations as pictures."""

import numpy as np
import pytest

from lrpdyn.figures.canvas import style


def test_scale_ends_at_the_largest_size_whatever_its_sign() -> None:
    scale = style.colour_scale(np.array([[1.0, -4.0], [2.0, 3.0]]))
    assert (scale.limit, scale.clipped) == (4.0, False)
    assert scale.note == "not clipped, the largest is 4"


def test_scale_is_clipped_where_one_value_would_hide_the_rest() -> None:
    values = np.linspace(0, 1, 10_000)
    values[5] = 50
    scale = style.colour_scale(values)
    assert scale.clipped
    assert scale.limit == pytest.approx(np.quantile(values, 0.999))
    assert scale.note == "clipped at the 99.9 % quantile, 0.999, the largest is 50"


@pytest.mark.parametrize(("largest", "clipped"), [(1.9, False), (2.1, True)])
def test_scale_is_clipped_from_twice_the_quantile(largest: float, clipped: bool) -> None:
    values = np.ones(10_000)
    values[0] = largest
    assert style.colour_scale(values).clipped is clipped


def test_scale_of_few_values_among_zeros_is_not_clipped_to_zero() -> None:
    values = np.zeros(10_000)
    values[:2] = 3, 7
    assert style.colour_scale(values).limit == 7


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.full(4, np.nan), np.zeros(0)])
def test_scale_without_any_size_is_one(values: np.ndarray) -> None:
    scale = style.colour_scale(values)
    assert scale.limit == 1
    assert "all values are zero" in scale.note


def test_scale_counts_what_is_not_finite() -> None:
    scale = style.colour_scale(np.array([1.0, np.nan, -np.inf]))
    assert scale.limit == 1
    assert "2 not finite" in scale.note


def test_sum_channels_keeps_signs_and_does_not_overflow() -> None:
    values = np.array([3e38, 3e38, -1e38], dtype=np.float32).reshape(1, 3, 1, 1)
    assert style.sum_channels(values) == pytest.approx(5e38, rel=1e-6)
    assert style.sum_channels(np.ones((5, 2, 4, 3))).shape == (5, 4, 3)


def test_frame_stack_shows_its_last_channel_stretched_over_all_samples() -> None:
    observations = np.zeros((2, 4, 1, 2), dtype=np.float32)
    observations[:, :3] = 99
    observations[0, 3] = [[10, 20]]
    observations[1, 3] = [[15, 10]]
    shown = style.displayed_observations(observations)
    np.testing.assert_allclose(shown, np.array([[[0, 1]], [[0.5, 0]]]))


def test_three_channels_in_0_to_1_keep_their_colours() -> None:
    observations = np.random.default_rng(0).uniform(0.2, 0.7, (2, 3, 4, 5))
    shown = style.displayed_observations(observations)
    np.testing.assert_array_equal(shown, observations.transpose(0, 2, 3, 1))


def test_three_channels_beyond_1_are_stretched_together() -> None:
    observations = np.array([0.0, 51, 255]).reshape(1, 3, 1, 1)
    shown = style.displayed_observations(observations)
    np.testing.assert_allclose(shown.ravel(), [0, 0.2, 1])


def test_constant_observation_is_mid_grey() -> None:
    assert (style.displayed_observations(np.full((1, 1, 2, 2), 7.0)) == 0.5).all()
