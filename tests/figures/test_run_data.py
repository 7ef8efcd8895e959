"""Maps that figures load are normalised as the differences are."""

from __future__ import annotations

import numpy as np
import pytest

from lrpdyn.api import Run
from lrpdyn.figures import run_data


def test_maps_are_normalised_as_the_differences_are(of_vectors: Run) -> None:
    maps_of_sample = run_data.maps_of(of_vectors, 3)
    values = [maps_of_sample(step) for step in of_vectors.steps]
    assert [np.abs(value).sum() for value in values] == pytest.approx([1.0] * 5)
    moved = sum(np.abs(one - other) for one, other in zip(values[1:], values, strict=False))
    np.testing.assert_allclose(moved, of_vectors.dynamics[3], rtol=1e-5)
    assert run_data.about_of(of_vectors).value_unit == "relevance normalised by l1"
