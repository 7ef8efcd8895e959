"""Entries are the strongest values of a population, with the fences around them."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from lrpdyn.files.streamed import in_memory
from lrpdyn.outliers.fences import population as populations
from lrpdyn.outliers.fences.fences import fences
from lrpdyn.outliers.fences.population import WIDTH, entries, population, totals


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


def test_a_long_series_lists_what_is_furthest_beyond_the_fence_around_it() -> None:
    values = values_of(2 * WIDTH)
    values[WIDTH:] *= 100
    of = population(values, lambda place: {"from_step": place}, rolls=True)
    listed, places = entries(of)
    assert places[0] == 7
    assert listed[0]["value"] == 50 < values.max()
    assert totals(of, len(listed))["window"] == WIDTH


def test_so_many_are_listed_and_an_empty_population_has_no_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(populations, "LISTED", 3)
    assert len(entries(population(values_of(60), lambda place: {}))[0]) == 3
    none = population(np.zeros(0), lambda place: {}, rolls=True)
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
    rolling = population(values, place, rolls=True)
    assert rolling.window == WIDTH
    assert whole.far is not None
    assert values[380, 2] < whole.far
    assert values[380, 2] > rolling.far[380, 0]
    assert rolling.is_far.mean() < 0.005


def test_each_transition_has_the_fence_of_the_window_around_it() -> None:
    values = falling()
    rolling = population(values, place, rolls=True)
    expected = fences(values[:WIDTH])
    assert rolling.far[0, 0] == rolling.far[WIDTH // 2, 1] == expected.far
    assert rolling.mild[0, 0] == expected.mild
    assert rolling.far[-1, 0] == fences(values[-WIDTH:]).far


@pytest.mark.parametrize("transitions", [0, 1, 2 * WIDTH - 1])
def test_a_short_run_has_the_fence_of_the_whole(transitions: int) -> None:
    values = falling(transitions)
    whole = fences(values)
    rolling = population(values, place, rolls=True)
    assert rolling.window is None
    np.testing.assert_equal(float(rolling.far), np.nan if whole.far is None else whole.far)


def test_a_window_without_a_fence_takes_that_of_the_whole() -> None:
    values = falling()
    values[:WIDTH] = 0
    whole = fences(values)
    assert population(values, place, rolls=True).far[0, 0] == whole.far


def test_memory_does_not_take_the_square_of_the_transitions() -> None:
    values = falling(20_000, 1)
    tracemalloc.start()
    population(values, place, rolls=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1000 * len(values)
