"""The data of a page beside those of its run."""

from __future__ import annotations

import numpy as np

import lrpdyn
from lrpdyn.page.page import Page, page_of
from lrpdyn.run.training_curve import Curve
from tests.page.unpacking import almost, values_of


def test_a_thinned_page_has_curves_of_all_steps(image_run: lrpdyn.Run) -> None:
    page = page_of(image_run, most_pixels=3 * 4 * 84 * 84)
    assert page.kept.steps == (0, 32, 48)
    assert page.notes[0].startswith("3 of 4 steps have pictures")
    assert all(len(one.values) == 4 for one in page.series)
    exact = np.abs(image_run.relevance[48].astype(float) - image_run.relevance[32])
    assert almost(values_of(page.views["change"], 2, 0), exact[0].sum(axis=0), 63)


def test_flat_observations_and_a_training_curve(flat_run: lrpdyn.Run) -> None:
    curve = Curve("reward", np.array([1.0, 5.0]), np.array([2.0, 4.0]))
    page: Page = page_of(flat_run, curve)
    assert page.views["relevance"].signed
    assert (page.observations.height, page.observations.width) == (1, 6)
    np.testing.assert_allclose(page.observations.values, flat_run.observations, rtol=1e-4)
    assert page.series[0].name == "training"
    np.testing.assert_array_equal(page.series[0].values[:, 0], [2, 2, 4, 4, 4])
