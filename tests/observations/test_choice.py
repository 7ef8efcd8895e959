"""Which observations are explained."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from lrpdyn.errors import UsageError
from lrpdyn.observations.choice import choose

GENERATOR = np.random.default_rng(3)
MANY = GENERATOR.integers(0, 256, (700, 3, 5, 5), dtype=np.uint8)


def smallest_gap(values: np.ndarray, chosen: Any) -> float:
    flat = values.reshape(len(values), -1).astype(float)
    return min(np.linalg.norm(flat[a] - flat[b]) for a, b in itertools.combinations(chosen, 2))


def test_spread_is_farthest_point_traversal() -> None:
    chosen = choose(MANY, None, "spread:5", seed=0)
    first = int(np.random.default_rng(0).integers(len(MANY)))
    flat = MANY.reshape(len(MANY), -1).astype(float)
    expected = [first]
    while len(expected) < 5:  # by all pairs of distances at once
        distances = np.linalg.norm(flat[:, None] - flat[None, expected], axis=2).min(axis=1)
        expected.append(int(distances.argmax()))
    assert chosen == sorted(expected)


def test_spread_lies_farther_apart_than_chance() -> None:
    spread = smallest_gap(MANY, choose(MANY, None, "spread:4", seed=1))
    chance = [smallest_gap(MANY, choose(MANY, None, "random:4", seed=s)) for s in range(20)]
    assert spread > max(chance)


def test_seeds_choose_and_repeat() -> None:
    for select in ("spread:4", "random:4"):
        assert choose(MANY, None, select, 5) == choose(MANY, None, select, 5)
        assert len({tuple(choose(MANY, None, select, seed)) for seed in range(5)}) > 1


def test_equal_observations_are_not_spread() -> None:
    with pytest.raises(UsageError, match="only 2 of the 6 observations differ"):
        choose(np.repeat(MANY[:2], 3, axis=0), None, "spread:3", 0)


@pytest.mark.parametrize(
    ("samples", "select", "says"),
    [
        (None, "spread:0", "--select"),
        (None, "most:4", "spread:4"),
        (None, "random:701", "only 700"),
        ("0", "random:2", "one of them"),
        ("0-99999999", None, "from 0 to 699"),
        ("5,5", None, "different numbers"),
    ],
)
def test_choices_that_make_no_sense(samples: Any, select: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        choose(MANY, samples, select, 0)
