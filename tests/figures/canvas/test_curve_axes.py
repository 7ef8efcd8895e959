"""Numbers and steps at axes are short, and are never the same for two ticks."""

from matplotlib.figure import Figure

from lrpdyn.figures.canvas.curve_axes import legend_above, tidy


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


def test_the_legend_lies_above_the_axes() -> None:
    figure = Figure()
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.5))
    axes.plot([0, 1], [0, 1], label="A")
    legend_above(axes, 8.0, 1)
    legend = axes.get_legend()
    assert legend is not None
    figure.canvas.draw()
    assert legend.get_window_extent().y0 >= axes.bbox.y1
