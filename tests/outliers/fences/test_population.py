"""Entries are the strongest values of a population, with the fences around them."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from lrpdyn.files.streamed import in_memory
from lrpdyn.outliers.fences import population as populations
from lrpdyn.outliers.fences.fences import fences
from lrpdyn.outliers.fences.in_time import FEWEST, in_time
from lrpdyn.outliers.fences.population import entries, population, totals


def values_of(count: int) -> np.ndarray:
    values = np.random.default_rng(0).lognormal(sigma=0.3, size=count)
    values[7] = 50
    return values


def test_pixels_read_in_pieces_are_listed_as_values_in_memory() -> None:
    values = values_of(60).reshape(15, 2, 2)
    whole = population(values, lambda place: {"sample": place})
    pieces = population(in_memory(values), lambda place: {"sample": place})
    assert entries(whole) == entries(pieces)
    assert totals(whole, 60) == totals(pieces, 60)
    listed, places = entries(whole)
    assert places[0] == 7
    assert listed[0]["severity"] == "far"
    assert totals(whole, 60)["far"] == sum(one["severity"] == "far" for one in listed)


def test_a_series_lists_what_is_furthest_beyond_the_fence_around_it() -> None:
    values = np.geomspace(10, 0.1, 60) * np.random.default_rng(0).lognormal(sigma=0.2, size=60)
    values[50] *= 8
    of = population(values, place, over_time=True)
    listed, places = entries(of)
    assert places[0] == 50
    assert listed[0]["severity"] == "far"
    assert listed[0]["value"] == values[50] < values.max()
    assert listed[0]["usual"] == of.trend[50]
    # The start has no fence: it is ranked below all that have one, its largest first.
    assert places[-12:] == sorted(range(12), key=lambda n: -values[n])
    assert {one["fence_far"] for one in listed[-12:]} == {None}
    assert totals(of, len(listed)) == {
        "method": "trend", "values": 60, "zeros": 0.0, "fence_mild": None, "fence_far": None,
        "mild": 0, "far": 1, "listed": 60, "compared_with": 14,
    }  # fmt: skip


def test_so_many_are_listed_and_an_empty_population_has_no_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(populations, "LISTED", 3)
    assert len(entries(population(values_of(60), lambda place: {}))[0]) == 3
    none = population(np.zeros(0), lambda place: {}, over_time=True)
    assert entries(none) == ([], [])
    assert totals(none, 0)["fence_far"] is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "none"), (2.0, "none"), (2.01, "mild"), (5.0, "mild"), (5.01, "far")],
)
def test_what_is_beyond_a_fence_is_strictly_beyond(value: float, expected: str) -> None:
    of = population(np.array([value]), lambda place: {})
    ((entry,), _) = entries(replace(of, mild=np.array(2.0), far=np.array(5.0)))
    assert entry["severity"] == expected


def place(number: int) -> dict[str, int]:
    """Where an entry is does not matter here."""
    return {"from_step": number}


def falling(transitions: int = 400, samples: int = 6) -> np.ndarray:
    """Changes that fall by two orders of magnitude over training."""
    generator = np.random.default_rng(0)
    level = np.geomspace(10, 0.1, transitions)[:, None]
    return level * generator.lognormal(sigma=0.3, size=(transitions, samples))


def test_a_late_spike_is_found_beside_its_neighbours_only() -> None:
    values = falling()
    values[380, 2] *= 12
    whole = fences(values)
    in_order = population(values, place, over_time=True)
    assert whole.far is not None
    assert values[380, 2] < whole.far
    assert np.argwhere(in_order.is_far).tolist() == [[380, 2]]
    assert in_order.is_mild.mean() < 0.005


def test_each_change_has_its_own_fences_and_trend() -> None:
    values = falling(60)
    of, expected = population(values, place, over_time=True), in_time(values)
    np.testing.assert_array_equal(of.far, expected.far)
    np.testing.assert_array_equal(of.mild, expected.mild)
    np.testing.assert_array_equal(of.trend, expected.trend)
    assert of.method == "trend"


@pytest.mark.parametrize("transitions", [0, 1, FEWEST - 1])
def test_the_changes_of_a_short_run_are_only_ranked(transitions: int) -> None:
    of = population(falling(transitions), place, over_time=True)
    assert not of.is_fenced
    assert of.method == "rank"
    listed, places = entries(of)
    assert [one["value"] for one in listed] == sorted(of.values.ravel(), reverse=True)
    assert totals(of, len(places))["compared_with"] is None


def test_memory_does_not_take_the_square_of_the_transitions() -> None:
    values = falling(20_000, 1)
    tracemalloc.start()
    population(values, place, over_time=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2000 * len(values)
