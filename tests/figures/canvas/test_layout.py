"""Layout in pixels."""

import numpy as np
import pytest

from lrpdyn.figures.canvas import layout


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((84, 84), (336, 336)),
        ((24, 24), (336, 336)),
        ((224, 224), (448, 448)),
        ((210, 160), (420, 320)),
        ((1, 4), (84, 336)),
        ((600, 900), (600, 900)),
        ((4096, 2), (1024, 1)),
    ],
)
def test_panels_are_whole_multiples_until_they_are_too_large(
    shape: tuple[int, int], size: tuple[int, int]
) -> None:
    assert layout.panel_size(*shape, 336) == size


@pytest.mark.parametrize("bold", [False, True])
def test_drawn_text_is_never_wider_than_expected(bold: bool) -> None:
    for em in (11.3, 25.0):
        for text in ("sample 12", "AVAVAV To Ty", "1.000007M", "→ |R_i - R_i+1|, WWWiii", "i"):
            figure = layout.new_figure(500, 50, 100)
            layout.add_text(figure, 0, 0, [text], em, bold=bold)
            drawn = figure.texts[0].get_window_extent().width
            expected = layout.text_width(text, em, bold=bold)
            assert drawn <= expected + 1
            assert expected < 1.2 * drawn + 3


def test_wrapped_lines_fit_and_keep_every_word() -> None:
    text = "action preferred at each step, minus the mean of the logits"
    lines = layout.wrap(text, 200, 10)
    assert len(lines) > 1
    assert " ".join(lines) == text
    assert layout.widest(lines, 10) <= 200


def test_a_word_wider_than_the_line_is_broken() -> None:
    lines = layout.wrap("W" * 100, 200, 10)
    assert layout.widest(lines, 10) <= 200
    assert "".join(lines) == "W" * 100


def test_shortened_text_fits_and_shows_that_it_was_cut() -> None:
    assert layout.shortened("step 1", 200, 10) == "step 1"
    cut = layout.shortened("step 1 " * 50, 200, 10)
    assert cut.endswith("…")
    assert layout.text_width(cut, 10) <= 200


@pytest.mark.parametrize("dpi", [72, 100, 150, 299, 300])
def test_figures_and_panels_lie_on_whole_pixels(dpi: int) -> None:
    for width in range(500, 560, 7):
        figure = layout.new_figure(width, width + 1, dpi)
        assert figure.canvas.get_width_height() == (width, width + 1)
        axes = layout.add_panel(figure, 13, 17, 84, 42)
        bounds = np.array(axes.bbox.bounds)
        np.testing.assert_allclose(bounds, [13, width + 1 - 17 - 42, 84, 42], atol=1e-3)
