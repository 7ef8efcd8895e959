"""Labels of outliers: the strongest, in at most two lines."""

import numpy as np

from lrpdyn.figures.canvas.layout import text_width
from lrpdyn.figures.canvas.outlier_labels import LABEL_LINES, labels_of, strongest_labels


def test_the_five_largest_finite_values_are_labelled() -> None:
    named = [(float(value), f"n{value}") for value in range(-1, 8)] + [(np.inf, "inf")]
    assert [name for _, name in strongest_labels(named)] == ["n7", "n6", "n5", "n4", "n3"]


def test_a_long_label_is_cut_and_says_so() -> None:
    (label,) = labels_of([(2.0, "word " * 40)], width=120.0, em=10.0)
    assert len(label.lines) == LABEL_LINES
    assert label.lines[-1].endswith("…")
    assert all(text_width(line, 10.0) <= 120.0 for line in label.lines)
