"""Entries are the strongest values of a population, with the fences around them."""

from __future__ import annotations

import numpy as np
import pytest

from lrpdyn.files.streamed import in_memory
from lrpdyn.outliers.fences import population as populations
from lrpdyn.outliers.fences.population import entries, pixel_population, population, totals
from lrpdyn.outliers.fences.rolling import WIDTH


def values_of(count: int) -> np.ndarray:
    values = np.random.default_rng(0).lognormal(sigma=0.3, size=count)
    values[7] = 50
    return values


def test_pixels_read_in_pieces_are_listed_as_values_in_memory() -> None:
    values = values_of(60).reshape(15, 2, 2)
    whole = population(values, lambda place: {"sample": place})
    pieces = pixel_population(in_memory(values), lambda place: {"sample": place})
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
