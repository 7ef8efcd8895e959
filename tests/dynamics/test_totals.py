"""What sums over steps come to, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lrpdyn.dynamics.totals import Sums, summary
from tests.dynamics.test_accumulate import streamed, sums_of, worth


def test_entropy_of_pixels_over_training() -> None:
    maps = np.zeros((4, 1, 4), dtype=np.float32)
    maps[:, 0, 0] = [2, -2, 2, 2]
    maps[2, 0, 1] = 7
    maps[:2, 0, 2] = 3e-9
    dynamics, _, _ = streamed(maps)
    found = sums_of(dynamics).pixel_entropy[0]
    assert found[:3] == pytest.approx([np.log(4), 0, np.log(2)], abs=1e-6)
    assert np.isnan(found[3])


def test_relative_dynamics_of_rounding_is_zero() -> None:
    maps = np.array([[[1, 1e-7]], [[2, -1e-7]]], dtype=np.float32)
    dynamics, _, _ = streamed(maps)
    assert sums_of(dynamics).relative_dynamics.tolist() == [[pytest.approx(1 / 3), 0]]


def test_summary_of_what_the_maps_are_worth() -> None:
    maps = np.array([[[0, 1.0]], [[1, 1]], [[0, 1]], [[1, 1]], [[0, 1]]], dtype=np.float32)
    dynamics, _, _ = streamed(maps)
    found = worth(dynamics)
    assert found["net_share"] == 0
    assert found["every_second_share"] == 0
    assert found["alike_every_second"] is None
    assert found["alike_mean_relevance"] == pytest.approx(2 / np.hypot(2, 5))
    maps = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((5, 1, 2), dtype=np.float32)
    found = worth(streamed(maps)[0])
    assert found == pytest.approx(dict.fromkeys(found, 1.0))
    still = worth(streamed(np.ones((3, 1, 2), dtype=np.float32))[0])
    assert set(still.values()) == {None}


def of_pixels(net: list[float], total: list[float], magnitude: list[float]) -> Sums:
    """Return sums over four steps of one flat sample, whose every second step stood still."""
    zero = np.zeros((1, len(net)))
    return Sums(
        steps=4, net=np.array([net]), total=np.array([total]), magnitude=np.array([magnitude]),
        coarse=zero, logarithms=zero, largest=zero, largest_at=zero.astype(np.int32),
    )  # fmt: skip


def test_directness_is_zero_where_nothing_changed() -> None:
    sums = of_pixels(net=[3, 1, 0], total=[3, 4, 0], magnitude=[8, 2, 4])
    assert sums.directness.tolist() == [[1, 0.25, 0]]
    assert sums.mean_relevance.tolist() == [[2, 0.5, 1]]
    assert sums.relative_dynamics.tolist() == [[0.375, 2, 0]]


def test_products_of_parts_add_up_to_those_of_all() -> None:
    one = of_pixels(net=[3, 1], total=[3, 4], magnitude=[8, 2])
    other = of_pixels(net=[0, 2], total=[1, 2], magnitude=[5, 5])
    found = summary(one.products() + other.products())
    path, size = np.array([3, 4, 1, 2]), np.array([8, 2, 5, 5])
    cosine = path @ size / np.linalg.norm(path) / np.linalg.norm(size)
    assert found["alike_mean_relevance"] == pytest.approx(cosine)
    assert found["net_share"] == pytest.approx(6 / 10)
    assert (found["every_second_share"], found["alike_every_second"]) == (0, None)
