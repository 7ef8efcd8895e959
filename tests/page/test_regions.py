"""Regions as a page has them, next to the masks that they are of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lrpdyn.observations.regions import read_regions
from lrpdyn.page.regions import regions_of
from tests.page.unpacking import unpack_bytes


@pytest.mark.parametrize(
    ("shape", "mask", "expected"),
    [
        ((3, 2, 5, 7), (5, 7), (1, 35)),  # one for all samples
        ((3, 2, 5, 7), (3, 2, 5, 7), (2, 35)),  # one for each frame
        ((3, 9), (9,), (1, 9)),
        ((3, 4, 2, 5, 7), (3, 4, 5, 7), (2, 4 * 35)),
        ((3, 6, 4), (4,), (1, 24)),
    ],
)
def test_bits_are_those_of_the_mask(
    shape: tuple[int, ...], mask: tuple[int, ...], expected: tuple[int, int], tmp_path: Path
) -> None:
    whole = np.random.default_rng(0).random(mask) > 0.7
    np.savez(tmp_path / "parts.npz", ball=whole)
    (found,) = regions_of(read_regions(tmp_path / "parts.npz", shape), shape, [2, 0])
    count, pixels = expected
    assert (found.name, len(found.masks)) == ("ball", count)
    packed = [np.frombuffer(unpack_bytes(text), np.uint8) for text in found.masks]
    bits = np.array([np.unpackbits(one)[:pixels] for one in packed])
    exact = {
        (5, 7): lambda: whole.ravel()[None],
        (9,): lambda: whole[None],
        (4,): lambda: np.tile(whole, 6)[None],
        (3, 2, 5, 7): lambda: whole[[2, 0]].any(axis=1).reshape(2, -1),
        # Pictures side by side: a row goes through all times.
        (3, 4, 5, 7): lambda: whole[[2, 0]].transpose(0, 2, 1, 3).reshape(2, -1),
    }[mask]()
    np.testing.assert_array_equal(bits, exact)
