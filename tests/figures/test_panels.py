"""The panels of a trajectory hold what the tables of the run do."""

from __future__ import annotations

import numpy as np

from lrpdyn.api import Run
from lrpdyn.figures.panels import marks_of, panels_of


def test_panels_hold_the_tables(of_images: Run) -> None:
    panels = {panel.title.partition(",")[0].partition(" over")[0]: panel
              for panel in panels_of(of_images, None, None)}  # fmt: skip
    metrics, transitions = of_images.metrics, of_images.transitions
    score = metrics["score"].reshape(-1, 4)
    np.testing.assert_allclose(panels["score"].lines[""], np.median(score, axis=1))
    low, high = panels["score"].band or ()
    assert (low >= score.min(axis=1)).all()
    assert (high <= score.max(axis=1)).all()
    changed = panels["change into the step"]
    np.testing.assert_allclose(
        changed.lines["relevance, sum of |R_i - R_i+1|"][1:],
        np.median(transitions["change"].reshape(-1, 4), axis=1),
    )
    np.testing.assert_allclose(
        changed.right["prediction (right)"][1:],
        np.median(transitions["prediction_change"].reshape(-1, 4), axis=1),
    )
    preferred = panels["share of samples that prefer a unit"]
    np.testing.assert_allclose(sum(preferred.lines.values()), 1.0)
    distance = panels["distance from the first map"].lines[""]
    np.testing.assert_allclose(distance, metrics["distance_from_first"].reshape(-1, 4).mean(axis=1))
    assert distance[0] == 0
    depends = panels["what the maps depend on: cosine"]
    assert set(depends.lines) >= {"to random networks", "random to random"}
    sums = metrics["relevance_sum"].reshape(-1, 4) / score
    checks = next(panel for title, panel in panels.items() if title.startswith("checks"))
    np.testing.assert_allclose(checks.lines["sum(R) / score"], np.median(sums, axis=1))


def test_panels_of_one_sample_are_its_own(of_images: Run) -> None:
    panels = {panel.title: panel for panel in panels_of(of_images, [2], None)}
    rows = of_images.metrics[of_images.metrics["sample"] == 2]
    np.testing.assert_array_equal(panels["score"].lines[""], rows["score"])
    np.testing.assert_array_equal(panels["preferred unit"].lines[""], rows["argmax"])
    assert panels["score"].band is None
    assert panels["preferred unit"].stepwise


def test_marks_say_why_there_are_no_phases(of_images: Run) -> None:
    marks = marks_of(of_images, None)
    assert marks.borders == []
    assert "too few" in marks.in_words()
