"""Files and arrays as users have them: chosen, scaled, or refused with the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrpdyn.errors import LrpdynError
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import load_observations

CNN = Expected(channels=4, divisor=255.0, range=(0.0, 1.0))
FLAT = Expected(features=6)
STACK = np.random.default_rng(0).integers(0, 256, (2, 4, 10, 12), dtype=np.uint8)


def test_one_sample_files_and_choice(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", STACK[0])
    np.savez(tmp_path / "b.npz", x=np.moveaxis(STACK[1], 0, -1))
    found = load_observations([tmp_path], CNN)
    np.testing.assert_array_equal(found.values, STACK.astype(np.float32) / np.float32(255))
    chosen = load_observations([STACK], CNN, samples="1")
    np.testing.assert_array_equal(chosen.values, found.values[1:])


@pytest.mark.parametrize(
    ("array", "expected", "options", "says"),
    [
        (np.full((1, 4, 8, 8), 200.0), CNN, {}, "--scale 255"),
        (
            np.full((1, 4, 8, 8), 0.5),
            Expected(channels=4, divisor=1.0, range=(0.0, 255.0)),
            {},
            "--scale",
        ),
        (STACK, Expected(channels=4), {}, "--scale"),
        (np.full((1, 4, 8, 8), np.nan), CNN, {}, "NaN"),
        (STACK, CNN, {"samples": "0,7"}, "from 0 to 1"),
        (STACK, CNN, {"samples": "x"}, "--samples"),
        (STACK, CNN, {"scale": "x"}, "--scale"),
        (STACK, Expected(channels=4, divisor=255.0, shape=(4, 84, 84)), {}, "trained on"),
        (np.array(["a"]), FLAT, {}, "expected numbers"),
    ],
)
def test_refused(array: np.ndarray, expected: Expected, options: dict[str, Any], says: str) -> None:
    with pytest.raises(LrpdynError, match=says):
        load_observations([array], expected, **options)


def test_the_name_of_before_the_rooms() -> None:
    from lrpdyn import observations

    assert observations.load_observations is load_observations
    with pytest.raises(AttributeError, match="nothing"):
        observations.nothing  # noqa: B018 - there is no such name
