"""The raster of changes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from lrpdyn.api import Run
from lrpdyn.figures.canvas import maps
from lrpdyn.figures.canvas.words import About
from lrpdyn.figures.drawings.raster import Mark, draw_raster, largest_of_neighbours, raster_of

ABOUT = About(rule="zplus", question="best action")


def _draw(path: str | Path, change: np.ndarray, marks: list[Mark], **options: Any) -> None:
    ends = list(pairwise(range(0, 1_000 * len(change) + 1, 1_000)))
    draw_raster(path, change, ends, range(change.shape[1]), marks, about=ABOUT, **options)


def test_changes_lie_in_rows_of_samples(saved: list[Figure], tmp_path: Path) -> None:
    change = np.random.default_rng(0).lognormal(size=(7, 3))
    for name in ("a.png", "b.png"):
        _draw(tmp_path / name, change, [])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    (image,) = maps.drawn_maps(saved[0])
    np.testing.assert_array_equal(np.asarray(image.get_array()), change.T)
    assert image.get_clim() == (0, change.max())
    words = [text.get_text() for text in saved[0].texts]
    assert {"sample 0", "sample 2", "7,000"} <= set(words)


def test_marks_lie_on_their_cells_and_borders_between(saved: list[Figure]) -> None:
    marks = [
        Mark(column=2, row=1, kind="far"),
        Mark(column=0, row=0, kind="mild"),
        Mark(column=7, row=2, kind="pathology"),
    ]
    _draw("a.png", np.ones((7, 3)), marks, borders=[3_000])
    (image,) = maps.drawn_maps(saved[0])
    left, right, bottom, top = image.get_extent()
    wide, high = (right - left) / 7, (bottom - top) / 3
    drawn = {line.get_label(): line for line in maps.backdrop(saved[0]).lines}
    for kind, column, row in (("far", 2.5, 1.5), ("mild", 0.5, 0.5), ("pathology", 7, 2.5)):
        ((across, down),) = drawn[kind].get_xydata()
        assert across == pytest.approx(left + column * wide, abs=1)
        assert down == pytest.approx(top + row * high, abs=1)
    border = next(line for line in maps.backdrop(saved[0]).lines if line.get_linestyle() == "--")
    assert border.get_xdata()[0] == pytest.approx(left + 3 * wide, abs=1)
    (legend,) = (axes.get_legend() for axes in saved[0].axes if axes.get_legend())
    assert [text.get_text() for text in legend.get_texts()] == [
        "unusual", "extreme", "pathology at that step",
        "a phase begins",
    ]  # fmt: skip


def test_many_cells_keep_the_largest_of_neighbours(saved: list[Figure]) -> None:
    change = np.zeros((1_100, 2))
    change[1_099, 1] = 5
    _draw("a.png", change, [])
    (image,) = maps.drawn_maps(saved[0])
    shown = np.asarray(image.get_array())
    assert shown.shape == (2, 367)
    assert shown[1, -1] == 5
    words = saved[0].get_label() + " ".join(text.get_text() for text in saved[0].texts)
    assert "Each cell is the largest of 3 transitions x 1 samples" in words


def test_what_is_not_finite_hides_nothing() -> None:
    change = np.array([[np.nan, np.inf], [1.0, np.nan], [3.0, np.nan]])
    np.testing.assert_array_equal(
        largest_of_neighbours(change, 2, 1), [[1.0, np.nan], [3.0, np.nan]]
    )


def test_the_raster_is_the_table_of_transitions(of_images: Run) -> None:
    change, ends, _, _ = raster_of(of_images, [3, 1])
    for column, sample in enumerate((3, 1)):
        rows = of_images.transitions[of_images.transitions["sample"] == sample]
        np.testing.assert_array_equal(change[:, column], rows["change"])
    assert ends == [(0, 16), (16, 32), (32, 48)]
