"""Runs side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from lrpdyn.api import Run
from lrpdyn.figures.canvas import maps
from lrpdyn.figures.drawings.side_by_side import Side, draw_side_by_side, sides_of

ENDS = np.array([10, 20, 30, 40])


def _sides(shape: tuple[int, ...]) -> list[Side]:
    random = np.random.default_rng(0)
    dynamics = random.exponential(size=shape)
    change = np.array([1.0, 2.0, 3.0, 12.0])
    return [
        Side(
            label="zplus",
            name="one, rule zplus",
            dynamics=dynamics,
            ends=ENDS,
            change=change,
            flagged=[3],
        ),
        Side(
            label="epsilon",
            name="two, rule epsilon",
            dynamics=1_000 * dynamics,
            ends=ENDS[1:],
            change=500 * change[1:],
            flagged=[],
        ),
    ]


@pytest.mark.parametrize("shape", [(2, 2, 8, 8), (2, 5)])
def test_runs_of_any_size_are_seen_from_zero_to_their_own_limit(
    saved: list[Figure], tmp_path: Path, shape: tuple[int, ...]
) -> None:
    sides = _sides(shape)
    draw_side_by_side(
        tmp_path / "a.png", np.ones(shape), sides, samples=[4, 7], alike="Cosine A-B 1.00"
    )
    images = [np.asarray(image.get_array()) for image in maps.drawn_maps(saved[0])]
    if len(shape) == 4:
        of_rows = [image for image in images if image.shape == (8, 8)]
        first, second = of_rows[1], of_rows[2]
        summed = sides[0].dynamics.sum(axis=1)
        np.testing.assert_allclose(first, summed[0] / summed.max())
    else:
        first, second = images[0][:, 0], images[0][:, 1]
        np.testing.assert_allclose(first, sides[0].dynamics[0] / sides[0].dynamics.max())
    np.testing.assert_allclose(first, second)
    words = saved[0].get_label() + " ".join(text.get_text() for text in saved[0].texts)
    for expected in ("A: one, rule zplus", "B: two, rule epsilon", "Cosine A-B 1.00", "sample 7",
                     "own limit", "B "):  # fmt: skip
        assert expected in words


def test_changes_are_over_the_median_of_their_run(saved: list[Figure]) -> None:
    draw_side_by_side("a.png", np.ones((1, 1, 8, 8)), _sides((1, 1, 8, 8)), samples=[0], alike="")
    axes = saved[0].axes[-1]
    drawn = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(drawn["A"].get_ydata(), np.array([1, 2, 3, 12]) / 2.5)
    np.testing.assert_allclose(drawn["B"].get_ydata(), np.array([2, 3, 12]) / 3)
    assert drawn["B"].get_xdata().tolist() == [20, 30, 40]
    assert drawn["_flagged"].get_xdata().tolist() == [40]


def test_a_comparison_names_its_runs(of_images: Run) -> None:
    sides, alike = sides_of([of_images, of_images], [0, 2])
    assert sides[0].name.startswith("run, rule zplus; head policy")
    assert sides[0].ends.tolist() == [16, 32, 48]
    assert alike == "cosine of dynamics, median over samples: A-B 1.00"
