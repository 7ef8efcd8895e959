"""Bars of flat observations."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.words import About
from lrpdyn.figures.drawings.bars import MOST_BARS, figure_of
from lrpdyn.figures.drawings.heatmap import Moved

HEADER = ["Title", "rule", "question", "of some samples"]


def drawn(dynamics: np.ndarray, chosen: list[int]) -> Figure:
    moved = Moved(dynamics=dynamics, net_change=dynamics / 4, relative=dynamics * 2)
    about = About(rule="epsilon", question="best action")
    return figure_of(np.ones(dynamics.shape), moved, chosen, HEADER, about, Look(dpi=80))


def lengths(figure: Figure) -> list[list[float]]:
    return [
        [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]
        for axes in figure.axes
        if axes.patches
    ]


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts)


def test_each_sample_has_a_panel_of_its_dynamics_and_its_net_change() -> None:
    dynamics = np.array([[1.0, 3.0], [2.0, 0.5], [0.0, 4.0]])
    figure = drawn(dynamics, [7, 8, 9])
    np.testing.assert_allclose(lengths(figure), np.hstack([dynamics, dynamics / 4]))
    for sample in (7, 8, 9):
        assert f"sample {sample}" in words(figure)


def test_all_panels_reach_to_the_largest_of_all() -> None:
    figure = drawn(np.array([[1.0, 3.0], [8.0, 0.5]]), [0, 1])
    assert [axes.get_xlim() for axes in figure.axes if axes.patches] == [(0, 8 * 1.02)] * 2
    assert "largest 8" in words(figure)


def test_of_many_features_the_strongest_are_drawn_first() -> None:
    dynamics = np.random.default_rng(0).permutation(np.arange(MOST_BARS + 6.0))[np.newaxis]
    (found,) = lengths(drawn(dynamics, [0]))
    assert found[:MOST_BARS] == [float(value) for value in range(MOST_BARS + 5, 5, -1)]


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_what_is_not_finite_has_no_bar_and_sets_no_scale(odd: float) -> None:
    figure = drawn(np.array([[2.0, odd]]), [0])
    np.testing.assert_allclose(lengths(figure), [[2.0, 0.0, 0.5, 0.0]])
    assert "largest 2" in words(figure)


def test_a_network_that_never_changed_has_a_scale_all_the_same() -> None:
    figure = drawn(np.zeros((1, 3)), [0])
    assert lengths(figure) == [[0.0] * 6]
    assert "largest 0" in words(figure)
