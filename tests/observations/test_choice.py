"""Which observations are explained."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from lrpdyn.errors import UsageError
from lrpdyn.observations.choice import choose, highlights

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


def test_highlights_matter_most_and_differ() -> None:
    importance = GENERATOR.random(len(MANY))
    chosen = highlights(MANY, importance, 6)
    flat = MANY.reshape(len(MANY), -1).astype(float)
    some = np.linspace(0, len(MANY) - 1, 256).round().astype(int)
    apart = [np.linalg.norm(flat[a] - flat[b]) for a, b in itertools.combinations(some, 2)]
    threshold = np.sqrt(np.quantile(np.square(apart), 0.1))
    expected: list[int] = []
    for index in sorted(range(len(MANY)), key=lambda one: -importance[one]):
        if all(np.linalg.norm(flat[index] - flat[one]) >= threshold for one in expected):
            expected.append(index)
    assert chosen == sorted(expected[:6])


def test_highlights_skip_what_is_nearly_the_same() -> None:
    twins = np.repeat(MANY[:20], 2, axis=0).astype(np.float32)
    twins[1::2] += 0.01
    importance = np.arange(40, 0, -1.0)
    chosen = highlights(twins, importance, 5)
    assert chosen[0] == 0
    assert all(one % 2 == 0 for one in chosen)  # the more important of each pair
    assert len(highlights(twins, importance, 30)) == 30  # then nearer ones, too
    with pytest.raises(UsageError, match="only 20 of the 40 observations differ"):
        highlights(np.repeat(MANY[:20], 2, axis=0), importance, 21)
    with pytest.raises(UsageError, match="only 40 observations"):
        highlights(twins, importance, 41)
