"""Sums of stretches of steps, put together, are those of all steps in one go, to the last bit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrpdyn.dynamics.accumulate import Dynamics
from lrpdyn.dynamics.saved_sums import read_part
from lrpdyn.dynamics.scratch import Shelf
from lrpdyn.dynamics.tree_sums import PairedSums

WHOLE = slice(0, 3)


def paired(values: np.ndarray, begin: int) -> PairedSums:
    sums = PairedSums(Shelf(1, None), {"x": ()})
    for place, value in enumerate(values, start=begin):
        with sums.adding(slice(0, 1)) as put:
            put(sums.join((0, place)), "x", np.array([value]))
    return sums


@given(st.integers(1, 70), st.data())
@settings(max_examples=100, deadline=None)
def test_any_stretches_give_the_same_bits(count: int, data: st.DataObject) -> None:
    values = np.random.default_rng(count).lognormal(sigma=9, size=count)
    cuts = sorted({0, count, *data.draw(st.lists(st.integers(1, count), max_size=6))})
    together = PairedSums(Shelf(1, None), {"x": ()})
    for begin, end in pairwise(cuts):
        part = paired(values[begin:end], begin)
        assert len(part.nodes) <= 2 * (end - begin).bit_length()
        for node in part.nodes:
            found = part.of_node("x", node, slice(0, 1))
            with together.adding(slice(0, 1)) as put:
                put(together.join(node), "x", found)
    whole = paired(values, 0)
    assert together.nodes == whole.nodes
    assert together.total(slice(0, 1))["x"] == whole.total(slice(0, 1))["x"]
    assert whole.total(slice(0, 1))["x"] == pytest.approx(values.sum(), rel=1e-14)


def maps_of(seed: int, broken: set[int]) -> list[np.ndarray]:
    maps = np.random.default_rng(seed).normal(size=(23, 3, 2, 4, 5)).astype(np.float32)
    maps[list(broken), 0, 0, 0, 0] = np.nan
    return list(maps)


def added(dynamics: Dynamics, maps: list, places: range, skipped: set[int], at_once: int) -> list:
    found, together = [], []

    def add() -> None:
        found.extend(one.measured for one in dynamics.add(together))
        together.clear()

    for place in places:
        if place in skipped:
            add()
            dynamics.pass_over()
            continue
        together.append((10 * place, maps[place], bool(np.isfinite(maps[place]).all())))
        if len(together) == at_once:
            add()
    add()
    return found


def before(maps: list, begin: int, skipped: set[int]) -> list:
    """What comes before a place, told in the plainest way."""
    found: list = []
    for place in reversed(range(begin)):
        if place in skipped:
            continue
        if not np.isfinite(maps[place]).all():
            break
        found.insert(0, (place, 10 * place, maps[place]))
        if place % 2 == 0:
            break
    return found


@pytest.mark.parametrize("at_once", [1, 4, 16])
@pytest.mark.parametrize("borders", [(1,), (8, 16), (3, 4, 5, 11), (2, 9, 10, 20)])
@pytest.mark.parametrize(
    ("broken", "skipped"),
    [(set(), set()), ({0, 9}, set()), ({3, 4, 10}, {8, 2}), (set(), {0, 1, 22})],
)
def test_parts_of_a_run_give_the_run(
    tmp_path: Path, borders: tuple[int, ...], broken: set[int], skipped: set[int], at_once: int
) -> None:
    maps = maps_of(len(borders), broken)
    whole = Dynamics((3, 2, 4, 5), "l1")
    expected = added(whole, maps, range(23), skipped, 1)
    together, found = Dynamics((3, 2, 4, 5), "l1"), []
    finite = [p for p in range(23) if p not in broken | skipped]
    for begin, end in zip((0, *borders), (*borders, 23), strict=True):
        part = Dynamics((3, 2, 4, 5), "l1", begin=begin)
        first = (10 * finite[0], maps[finite[0]]) if finite[0] < begin else None
        part.take_up(first, before(maps, begin, skipped))
        found += added(part, maps, range(begin, end), skipped, at_once)
        part.save(tmp_path / str(begin))
        together.append(read_part(tmp_path / str(begin)))
    for measured, other in zip(found, expected, strict=True):
        np.testing.assert_equal(vars(measured), vars(other))
    np.testing.assert_equal(vars(together.of(WHOLE)), vars(whole.of(WHOLE)))
    assert (together.steps, together.transitions) == (whole.steps, whole.transitions)
