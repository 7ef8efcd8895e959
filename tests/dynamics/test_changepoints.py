"""The exact searches against those of `ruptures`, against all cuts of short series, and by what they load."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrpdyn.dynamics import changepoints
from lrpdyn.dynamics.changepoints import cut_into, cut_where_worth


def searched(values: np.ndarray, shortest: int, **asked: Any) -> tuple[int, ...]:
    """Return what `ruptures` finds (Truong et al. 2020)."""
    from ruptures import KernelCPD

    search = KernelCPD(kernel="linear", min_size=shortest).fit(values)
    return tuple(int(border) for border in search.predict(**asked)[:-1])


def worth(values: np.ndarray, penalty: float, shortest: int) -> tuple[int, ...]:
    """Return the cut at a penalty that is the best of those of `ruptures` into each number.

    Its own search at a penalty drops starts before a segment of the least length can follow, and so
    misses some: https://github.com/deepcharles/ruptures/pull/383
    """
    from ruptures import KernelCPD

    search = KernelCPD(kernel="linear", min_size=shortest).fit(values)
    cuts: list[tuple[int, ...]] = [()]
    for borders in range(len(values) // shortest - 1, 0, -1):  # the first call finds all others
        cuts.append(tuple(int(border) for border in search.predict(n_bkps=borders)[:-1]))
    return min(cuts, key=lambda cut: penalised(values, cut, penalty))


def penalised(values: np.ndarray, cut: tuple[int, ...], penalty: float) -> float:
    return cost(values, cut) + penalty * len(cut)


def cost(values: np.ndarray, borders: tuple[int, ...]) -> float:
    return sum(float(((part - part.mean(0)) ** 2).sum()) for part in np.split(values, borders))


def all_cuts(steps: int, borders: int, shortest: int) -> Iterator[tuple[int, ...]]:
    for chosen in combinations(range(1, steps), borders):
        if all(end - start >= shortest for start, end in pairwise((0, *chosen, steps))):
            yield chosen


@st.composite
def series(draw: st.DrawFn, most_steps: int = 150) -> np.ndarray:
    """Noise with a few changes of level, on a level of its own: the best cut is unique."""
    steps = draw(st.integers(1, most_steps))
    columns = draw(st.integers(1, 6))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = generator.normal(size=(steps, columns)) + draw(st.sampled_from([0.0, 1.0, 1e3]))
    for border in draw(st.lists(st.integers(0, steps), max_size=4)):
        values[border:] += draw(st.sampled_from([0.3, 3.0])) * generator.normal(size=columns)
    return values


@given(values=series(), most=st.integers(2, 7), shortest=st.integers(1, 6))
@settings(deadline=None)
def test_each_number_of_segments_is_cut_as_ruptures_cuts_it(
    values: np.ndarray, most: int, shortest: int
) -> None:
    found = cut_into(values, most, shortest)
    assert len(found) == max(1, min(most, len(values) // shortest))
    assert found[0] == ()
    for borders, cut in enumerate(found[1:], start=1):
        expected = searched(values, shortest, n_bkps=borders)
        assert cost(values, cut) == pytest.approx(cost(values, expected), rel=1e-9)
        assert cut == expected


@given(values=series(), penalty=st.floats(0.05, 50), shortest=st.integers(1, 6))
@settings(deadline=None)
def test_borders_that_are_worth_a_penalty_are_those_of_ruptures(
    values: np.ndarray, penalty: float, shortest: int
) -> None:
    found = cut_where_worth(values, penalty, shortest)
    expected = worth(values, penalty, shortest)
    least = penalised(values, expected, penalty)
    assert penalised(values, found, penalty) == pytest.approx(least, rel=1e-9)
    assert found == expected
    if len(values) >= 2 * shortest:
        other = searched(values, shortest, pen=penalty)
        assert penalised(values, found, penalty) <= (1 + 1e-9) * penalised(values, other, penalty)


@given(values=series(most_steps=12), shortest=st.integers(1, 4), penalty=st.floats(0.05, 20))
@settings(deadline=None)
def test_no_cut_of_a_short_series_is_better(
    values: np.ndarray, shortest: int, penalty: float
) -> None:
    best = [
        min(all_cuts(len(values), borders, shortest), key=lambda cut: cost(values, cut))
        for borders in range(max(1, len(values) // shortest))
        if len(values) >= shortest
    ] or [()]
    assert cut_into(values, len(values), shortest) == best
    cheapest = min(best, key=lambda cut: penalised(values, cut, penalty))
    assert cut_where_worth(values, penalty, shortest) == cheapest


def test_a_start_is_kept_until_what_beats_it_can_begin_a_segment() -> None:
    # A border at 2 gains before the end at 4, but leaves a last segment of one step there.
    values = np.array([0.0, 1, 0, 0, 1])[:, None]
    assert cut_where_worth(values, 0.1, 2) == ()
    generator = np.random.default_rng(0)
    for values in generator.normal(size=(200, 20, 1)):
        assert cut_where_worth(values, 0.3, 5) == worth(values, 0.3, 5)


@pytest.mark.parametrize("steps", [changepoints.BLOCK + 2, 2 * changepoints.BLOCK + 3, 1000])
def test_series_of_several_blocks(steps: int) -> None:
    generator = np.random.default_rng(steps)
    values = generator.normal(size=(steps, 80)).cumsum(axis=0)
    assert cut_into(values, 6, 3)[1:] == [searched(values, 3, n_bkps=n) for n in range(1, 6)]
    one = np.repeat(generator.normal(size=steps // 50 + 1), 50)[:steps, None]
    one = one + 0.1 * generator.normal(size=one.shape)
    penalty = 9 * 0.01 * float(np.log(steps))
    assert cut_where_worth(one, penalty, 5) == worth(one, penalty, 5)


def test_of_cuts_that_are_as_good_the_last_border_is_the_earliest() -> None:
    alike = np.zeros((12, 2))
    assert cut_into(alike, 4, 3) == [(), (3,), (3, 6), (3, 6, 9)]
    assert cut_into(alike + 0.1, 4, 3) == cut_into(alike, 4, 3)
    assert cut_where_worth(alike, 0.0, 3) == ()
    # 0, 1, 0: a cut before the middle is as good as one after it.
    middle = np.array([[0.0], [3.0], [0.0]])
    assert cut_into(middle, 2, 1)[1] == (1,)


def test_small_changes_on_a_high_level_are_found() -> None:
    values = np.random.default_rng(0).normal(size=(400, 1))
    values[150:] += 3
    assert cut_into(1e-4 * values + 1e6, 2, 3) == cut_into(values, 2, 3)


def test_series_that_are_too_short_are_one_segment() -> None:
    for steps in range(6):
        assert cut_into(np.ones((steps, 2)), 4, 3) == [()]
        assert cut_where_worth(np.arange(steps)[:, None] * 9.0, 1e-3, 3) == ()


def test_neither_phases_nor_shifts_load_scipy() -> None:
    program = (
        "import sys, numpy as np\n"
        "from lrpdyn.outliers.fences.shifts import find_shifts\n"
        "from lrpdyn.dynamics.phases import find_phases\n"
        "values = np.random.default_rng(0).normal(size=(60, 4))\n"
        "values[30:] += 9\n"
        "assert find_phases(values).borders == (30,)\n"
        "assert find_shifts(np.exp(values[:, 0]))\n"
        "print(sorted({'scipy', 'ruptures', 'torch'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("shortest", [2, 3, 4, 5, 7])
def test_late_shifts_of_a_long_series_leave_room_for_each_other(
    shortest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changepoints, "MOST_STEPS", 20)
    for steps, last, before in product(range(41, 66), range(1, 9), range(1, 9)):
        values = np.zeros((steps, 1))
        values[-last - before :] = 5.0
        values[-last:] = 50.0
        found = cut_where_worth(values, 1.0, shortest)
        assert np.diff([0, *found, steps]).min() >= shortest


def test_late_shifts_of_ten_thousand_transitions() -> None:
    values = np.zeros((10_003, 1))
    values[-9:], values[-4:] = 5.0, 50.0
    assert len(cut_where_worth(values, 1.0, 5)) == 2


@pytest.mark.parametrize("borders", [(), (3_333,), (700, 4_096, 4_110, 9_001)])
def test_a_long_series_is_cut_where_a_short_one_would_be(
    borders: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(len(borders))
    levels = generator.normal(scale=4, size=len(borders) + 1)
    lengths = np.diff([0, *borders, 10_007])
    values = (np.repeat(levels, lengths) + generator.normal(size=10_007))[:, None]
    long = cut_where_worth(values, 40.0, 5)
    monkeypatch.setattr(changepoints, "MOST_STEPS", 20_000)
    assert long == cut_where_worth(values, 40.0, 5)
    assert len(long) == len(borders)
    assert all(abs(found - planted) <= 3 for found, planted in zip(long, borders, strict=True))
