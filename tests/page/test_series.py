"""The curves of a page beside the tables of its run."""

from __future__ import annotations

import numpy as np

import lrpdyn
from lrpdyn.page.page import page_of
from lrpdyn.page.series import series_of
from lrpdyn.run.training_curve import Curve


def test_numbers_are_those_of_the_tables(image_run: lrpdyn.Run) -> None:
    page = page_of(image_run)
    series = {one.name: one.values for one in page.series}
    metrics, transitions = image_run.metrics, image_run.transitions
    np.testing.assert_array_equal(series["score"].ravel(), metrics["score"])
    np.testing.assert_array_equal(series["change"][1:].ravel(), transitions["change"])
    assert np.isnan(series["change"][0]).all()
    np.testing.assert_array_equal(page.units.ravel(), metrics["target"])


def test_curves_are_those_of_the_requested_samples_in_their_order(image_run: lrpdyn.Run) -> None:
    series = {one.name: one.values for one in series_of(image_run, [3, 1], None)}
    scores = image_run.metrics["score"].reshape(4, 4)
    np.testing.assert_array_equal(series["score"], scores[:, [3, 1]])
    assert "training" not in series


def test_a_training_curve_is_above_and_the_same_for_every_sample(image_run: lrpdyn.Run) -> None:
    curve = Curve("log.csv:reward", np.array([0.0, 32.0]), np.array([2.0, 4.0]))
    first, second, *_ = series_of(image_run, [0, 2], curve)
    assert first.title == "Training curve: log.csv:reward"
    # Steps 0, 16, 32 and 48: the newest value that is not later.
    np.testing.assert_array_equal(first.values, np.transpose([[2, 2, 4, 4]] * 2))
    assert second.name == "score"


def test_titles_say_over_what_and_in_what_unit(image_run: lrpdyn.Run, flat_run: lrpdyn.Run) -> None:
    of_images = {one.name: one.title for one in series_of(image_run, [0], None)}
    assert of_images["entropy"] == "Entropy over pixels (at most 8.86)"  # ln(84 * 84)
    assert of_images["change"] == "Change into the step (unit: score)"
    of_features = {one.name: one.title for one in series_of(flat_run, [0], None)}
    assert of_features["entropy"] == "Entropy over features (at most 1.79)"  # ln 6


def test_churn_is_the_share_of_samples_whose_unit_changed(image_run: lrpdyn.Run) -> None:
    churn = next(one.values for one in series_of(image_run, [2], None) if one.name == "churn")
    units = image_run.metrics["argmax"].reshape(4, 4)
    assert np.isnan(churn[0, 0])
    np.testing.assert_allclose(churn[1:, 0], (units[1:] != units[:-1]).mean(axis=1))
