"""Sequences in time are arranged, and refused in one line where they do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lrpdyn.dynamics.measures import of_pixels, pixels
from lrpdyn.errors import ObservationError
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import load_observations
from lrpdyn.observations.regions import read_regions, shares

FEATURES = Expected(features=3, recurrent=True)
PICTURES = Expected(channels=2, recurrent=True)


@pytest.mark.parametrize(
    ("expected", "shape", "layout", "arranged"),
    [
        (FEATURES, (4, 5, 3), "NTF", (4, 5, 3)),
        (FEATURES, (4, 1, 3), "NTF", (4, 1, 3)),
        (FEATURES, (4, 3), "NF", (4, 3)),
        (replace(FEATURES, shape=(3,)), (4, 5, 3), "NTF", (4, 5, 3)),
        (replace(FEATURES, shape=(5, 3)), (4, 5, 3), "NTF", (4, 5, 3)),
        (PICTURES, (4, 5, 2, 6, 7), "NTCHW", (4, 5, 2, 6, 7)),
        (PICTURES, (4, 5, 6, 7, 2), "NTHWC", (4, 5, 2, 6, 7)),
        (PICTURES, (4, 1, 2, 6, 7), "NTCHW", (4, 1, 2, 6, 7)),
        (PICTURES, (4, 2, 6, 7), "NCHW", (4, 2, 6, 7)),
        (Expected(channels=1, recurrent=True), (4, 5, 6, 7), "NTHW", (4, 5, 1, 6, 7)),
    ],
)
def test_arranged(
    expected: Expected, shape: tuple[int, ...], layout: str, arranged: tuple[int, ...]
) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = load_observations([values], expected)
    assert (found.layout, found.values.shape) == (layout, arranged)
    own = np.moveaxis(values, -1, 2) if layout == "NTHWC" else values
    np.testing.assert_array_equal(found.values[:], own.reshape(arranged))


def test_one_sequence_without_samples_is_said() -> None:
    values = np.ones((5, 3), dtype=np.float32)
    assert load_observations([values], FEATURES, layout="TF").values.shape == (1, 5, 3)


def test_other_features_are_refused() -> None:
    with pytest.raises(ObservationError, match="takes 3 entries for each time step"):
        load_observations([np.ones((4, 5, 2), dtype=np.float32)], FEATURES)


def test_differing_lengths_are_refused() -> None:
    two = [np.ones((1, length, 3), dtype=np.float32) for length in (4, 6)]
    with pytest.raises(ObservationError, match=r"\(4, 3\), \(6, 3\); pad or cut the sequences"):
        load_observations(two, FEATURES)


def test_channels_of_each_time_are_summed() -> None:
    maps = np.random.default_rng(1).normal(size=(2, 5, 3, 4, 6))
    np.testing.assert_array_equal(pixels(maps), maps.sum(axis=2))
    assert of_pixels(maps.shape) == pixels(maps).shape


@pytest.mark.parametrize(
    ("of", "mask"),
    [
        ((2, 5, 3), (3,)), ((2, 5, 3), (5, 3)), ((2, 5, 3), (2, 5, 3)),
        ((2, 5, 3, 4, 6), (4, 6)), ((2, 5, 3, 4, 6), (5, 4, 6)), ((2, 5, 3, 4, 6), (2, 5, 4, 6)),
    ],
)  # fmt: skip
def test_regions_of_steps(of: tuple[int, ...], mask: tuple[int, ...], tmp_path: Path) -> None:
    inside = np.zeros(mask, dtype=bool)
    inside[..., -1] = True
    np.savez(tmp_path / "regions.npz", last=inside)
    regions = read_regions(tmp_path / "regions.npz", of)
    maps = np.random.default_rng(2).normal(size=of)
    size = np.abs(maps).reshape(2, -1)
    expected = np.abs(maps[..., -1]).reshape(2, -1).sum(axis=1) / size.sum(axis=1)
    np.testing.assert_allclose(shares(maps, regions)[0], expected)
