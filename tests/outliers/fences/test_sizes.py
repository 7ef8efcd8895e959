"""What is counted piece by piece is what sorting everything gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lrpdyn.files import streamed
from lrpdyn.files.streamed import in_memory
from lrpdyn.outliers.fences import sizes, tail
from lrpdyn.outliers.fences.fences import fences
from lrpdyn.outliers.fences.sizes import Sizes
from lrpdyn.outliers.fences.tail import tail_severity
from tests.outliers.made_up import calm_run, report_on, sums_of

GENERATOR = np.random.default_rng(0)
POPULATIONS = {
    "skewed": GENERATOR.lognormal(sigma=1.2, size=(9, 13, 11)),
    "zeros": np.maximum(GENERATOR.normal(size=(9, 13, 11)), 0),
    "ties": GENERATOR.integers(0, 6, (9, 13, 11)) / 4,
    "orders of magnitude": 10 ** GENERATOR.uniform(-300, 300, (9, 13, 11)),
    "of one bit": np.full((9, 13, 11), 1.5) + 2**-20 * GENERATOR.integers(0, 3, (9, 13, 11)),
}
CASES = [
    (name, kind)
    for name in POPULATIONS
    for kind in (np.float32, np.float64)
    if (name, kind) != ("orders of magnitude", np.float32)
]


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sort no more than ten values at once, and work on two samples at a time."""
    monkeypatch.setattr(streamed, "_ENTRIES", 2 * 13 * 11)
    monkeypatch.setattr(sizes, "_SORTED", 10)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("kept", [False, True])
def test_what_is_counted_is_what_sorting_gives(name: str, kind: type, kept: bool) -> None:
    values = POPULATIONS[name].astype(kind)
    exact = values.astype(np.float64).ravel()
    found = Sizes(values if kept else in_memory(values))
    positive = exact[exact > 0]
    assert (found.count, found.positive) == (exact.size, positive.size)
    levels = (0.0, 0.05, 0.25, 0.5, 0.9, 0.95, 1.0)
    most = np.quantile(positive, 0.7)
    for limit in (np.inf, most):
        expected = np.quantile(positive[positive <= limit], levels)
        np.testing.assert_array_equal(found.quantiles(levels, limit), expected)
    heights = np.quantile(exact, [0.2, 0.5, 0.99])
    assert found.beyond(heights).tolist() == [int((exact > height).sum()) for height in heights]
    inside = exact[(exact > heights[0]) & (exact <= heights[2])]
    np.testing.assert_array_equal(found.between(heights[0], heights[2], 10**6), inside)
    every = -(-len(inside) // 100)
    np.testing.assert_array_equal(found.between(heights[0], heights[2], 100), inside[::every])
    order = np.argsort(-exact, kind="stable")
    for count in (1, 40, 400, 10**4):
        places, strongest = found.strongest(count)
        assert places == order[:count].tolist()
        np.testing.assert_array_equal(strongest, exact[places])


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_fences_and_tails_do_not_depend_on_pieces(
    monkeypatch: pytest.MonkeyPatch, name: str, kind: type
) -> None:
    values = POPULATIONS[name].astype(kind)
    fence = fences(values)
    of = np.sort(values.astype(np.float64).ravel())[::50]
    expected = tail_severity(values, fence, of)
    monkeypatch.setattr(streamed, "_ENTRIES", 2 * 13 * 11)
    monkeypatch.setattr(sizes, "_SORTED", 10)
    found = Sizes(in_memory(values))
    assert fences(found) == fence
    np.testing.assert_array_equal(tail_severity(found, fence, of), expected)


def test_a_tail_of_very_many_values_is_fitted_to_some(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).lognormal(size=20_000)
    fence, of = fences(values), np.array([5.0, 10.0, 40.0])
    expected = tail_severity(values, fence, of)
    monkeypatch.setattr(tail, "MOST_FITTED", 500)
    found = tail_severity(values, fence, of)
    assert not np.array_equal(found, expected)
    np.testing.assert_allclose(found, expected, rtol=0.15)


@pytest.mark.usefixtures("little_memory")
def test_what_is_no_size_is_told_wherever_it_is() -> None:
    values = np.ones((9, 13, 11))
    values[4, 2, 2], values[7, 0, 0], values[8, 0, 0] = np.nan, -1, np.inf
    with pytest.raises(ValueError, match="2 of 1287 values are not finite, the first at index 596"):
        fences(Sizes(in_memory(values)))
    values[4, 2, 2] = values[8, 0, 0] = 1
    with pytest.raises(ValueError, match=r"1 of 1287 values are negative, .* index 1001 \(-1.0\)"):
        fences(Sizes(in_memory(values)))


def test_a_report_does_not_depend_on_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    calm = calm_run(samples=9)
    relative = POPULATIONS["skewed"]
    at = np.arange(143, dtype=np.int32).reshape(13, 11) % 40
    spread = sums_of(np.ones((13, 11)), np.full((13, 11), 0.7), at)
    expected = report_on(replace(calm, relative=relative, sums=lambda sample: spread))
    monkeypatch.setattr(streamed, "_ENTRIES", 2 * 13 * 11)
    monkeypatch.setattr(sizes, "_SORTED", 10)
    pieces = replace(calm, relative=in_memory(relative), sums=lambda sample: spread)
    assert report_on(pieces) == expected
    assert expected["totals"]["pixels"]["listed"] == 1000
