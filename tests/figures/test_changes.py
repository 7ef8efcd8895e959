"""Changes by transition and sample, and runs side by side, are those of the tables."""

from __future__ import annotations

import numpy as np

from lrpdyn.api import Run
from lrpdyn.figures.changes import raster_of, sides_of


def test_the_raster_is_the_table_of_transitions(of_images: Run) -> None:
    table = raster_of(of_images, [3, 1])
    for column, sample in enumerate((3, 1)):
        rows = of_images.transitions[of_images.transitions["sample"] == sample]
        np.testing.assert_array_equal(table.change[:, column], rows["change"])
    assert table.ends == [(0, 16), (16, 32), (32, 48)]


def test_a_comparison_names_its_runs(of_images: Run) -> None:
    sides, alike = sides_of([of_images, of_images], [0, 2])
    assert sides[0].name.startswith("run, rule zplus; head policy")
    assert sides[0].ends.tolist() == [16, 32, 48]
    assert alike == "cosine of dynamics, median over samples: A-B 1.00"
