"""Numbers and steps at axes are short, and are never the same for two ticks."""

import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lrpdyn.figures.canvas import layout
from lrpdyn.figures.canvas.curve_axes import add_key, key_lines, tidy


def test_ticks_are_short_and_distinct() -> None:
    axes = Figure().add_subplot()
    axes.plot([0, 2_000_000], [1.00001, 1.00004])
    tidy(axes, 8.0, across=4, down=3)
    steps = axes.xaxis.get_major_formatter().format_ticks([-5e5, 0.0, 500_000.0, 1e6])
    assert steps == ["", "0", "500k", "1M"]
    numbers = axes.yaxis.get_major_formatter().format_ticks([1.00001, 1.00002])
    assert numbers == ["1.00001", "1.00002"]
    assert not axes.spines["top"].get_visible()
    assert axes.spines["left"].get_visible()


@pytest.mark.parametrize("width", [150, 400])
def test_a_legend_takes_the_lines_that_it_was_given_and_sets_no_formulae(width: int) -> None:
    figure, em = layout.new_figure(500, 300, 100), 10.0
    names = ["relevance $x_1$ of the first", "random", "x" * 90]
    below = add_key(figure, 20, 30, width, [Line2D([], []) for _ in names], names, em)
    assert below == pytest.approx(30 + key_lines(names, width, em) * layout.LINE * em)
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    figure.canvas.draw()
    box = legend.get_window_extent()
    assert box.x1 <= 20 + width + 1
    assert 300 - box.y0 <= below + 3
    texts = legend.get_texts()
    assert not any(text.get_parse_math() for text in texts)
    assert texts[2].get_text().endswith("…")
