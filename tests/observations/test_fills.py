"""Fills, against SciPy and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lrpdyn.errors import UsageError
from lrpdyn.files.streamed import in_memory
from lrpdyn.observations.fills import make_fill, parse_fill


def test_what_a_fill_may_be() -> None:
    assert [parse_fill(t) for t in (None, "modal", "mean", "-2", 0.5)] == [
        "modal", "modal", "mean", -2.0, 0.5,
    ]  # fmt: skip
    of_a_damaged_file: Any = [0.5]
    for text in ("median", "nan", "", of_a_damaged_file):
        with pytest.raises(UsageError, match="expected a number, modal, blurred or mean"):
            parse_fill(text)


def test_a_number_and_the_mean_of_the_others() -> None:
    x = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    assert make_fill(0.5, 0.5, x).of(x[:2]).tolist() == [[0.5] * 3] * 2
    assert (make_fill("modal", 0.25, x).plain, make_fill("mean", 0.25, x).plain) == (0.25, "mean")
    expected = [x[[0, 1, 3, 4]].mean(axis=0), x[:4].mean(axis=0)]
    for values in (x, in_memory(x)):
        np.testing.assert_allclose(
            make_fill("mean", 0.0, values).of(x[[2, 4]]), expected, rtol=1e-6
        )
    with pytest.raises(UsageError, match="found one, which is no mean of others"):
        make_fill("mean", 0.0, x[:1])


def test_a_blur_is_that_of_scipy_inside() -> None:
    x = np.random.default_rng(0).random((2, 3, 84, 56)).astype(np.float32)
    found = make_fill("blurred", 0.0, x).of(x)
    expected = gaussian_filter(x.astype(float), (0, 0, 6, 4), truncate=12, mode="constant")
    np.testing.assert_allclose(found[..., 36:48, 24:32], expected[..., 36:48, 24:32], atol=1e-6)
    flat = np.full((1, 1, 5, 5), 0.75, dtype=np.float32)
    np.testing.assert_allclose(make_fill("blurred", 0.0, flat).of(flat), flat, rtol=1e-6)
    with pytest.raises(UsageError, match="--fill blurred: features have no neighbours"):
        make_fill("blurred", 0.0, np.zeros((2, 8), dtype=np.float32))
