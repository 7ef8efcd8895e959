"""Maps in rows and columns."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from lrpdyn.figures.canvas.grid import Column, draw_grid
from lrpdyn.figures.canvas.look import PAGE_HEIGHT, Look
from lrpdyn.figures.canvas.maps import GREY, drawn_maps, scale_of
from lrpdyn.figures.canvas.words import Caption

LOOK = Look(dpi=80)
CAPTION = Caption(title="title")


def columns(count: int = 3, rows: int = 2) -> list[Column]:
    values = np.random.default_rng(0).uniform(0, 1, (count, rows, 12, 12))
    coloured = scale_of("dynamics", values, LOOK, signed=False)
    return [
        Column(heading=f"heading {n}", values=each, scale=coloured if n else GREY)
        for n, each in enumerate(values)
    ]


def maps_in(figure: Figure) -> list[AxesImage]:
    """Return the maps, without the colour bars above them."""
    return [one for one in drawn_maps(figure) if np.shape(one.get_array()) == (12, 12)]


def test_maps_are_drawn_row_by_row_with_the_values_of_their_columns() -> None:
    given = columns()
    figure, *_ = draw_grid(given, ["sample 5", "sample 2"], CAPTION, LOOK)
    drawn = maps_in(figure)
    assert len(drawn) == 6
    for place, image in enumerate(drawn):
        row, column = divmod(place, 3)
        np.testing.assert_allclose(np.asarray(image.get_array()), given[column].values[row])


def test_maps_of_a_column_stand_below_each_other_and_those_of_a_row_abreast() -> None:
    figure, *_ = draw_grid(columns(), ["sample 5", "sample 2"], CAPTION, LOOK)
    boxes = [image.get_window_extent() for image in maps_in(figure)]
    lefts = np.array([box.x0 for box in boxes]).reshape(2, 3)
    bottoms = np.array([box.y0 for box in boxes]).reshape(2, 3)
    np.testing.assert_allclose(lefts[0], lefts[1])
    assert (np.diff(lefts[0]) >= boxes[0].width).all()
    np.testing.assert_allclose(bottoms, bottoms[:, :1].repeat(3, axis=1))
    assert bottoms[0, 0] - bottoms[1, 0] >= boxes[0].height


def test_rows_and_columns_are_named_once() -> None:
    figure, *_ = draw_grid(columns(), ["sample 5", "sample 2"], CAPTION, LOOK)
    words = [text.get_text() for text in figure.texts]
    for once in ("sample 5", "sample 2", "heading 0", "heading 2"):
        assert words.count(once) == 1


@pytest.mark.parametrize("ems", [0.0, 7.0])
def test_room_below_is_left_as_asked(ems: float) -> None:
    figure, bottom, em = draw_grid(columns(), ["a", "b"], CAPTION, LOOK, ems_below=ems)
    _, height = figure.bbox.size
    assert height - bottom == pytest.approx(ems * em, abs=1)


def test_rows_that_a_page_has_no_room_for_go_on_at_the_right() -> None:
    given, look = columns(4, 15), Look(dpi=150, width=7.0)
    names = [f"row {row}" for row in range(15)]
    figure, *_ = draw_grid(given, names, CAPTION, look)
    assert figure.get_figheight() < PAGE_HEIGHT
    drawn = maps_in(figure)
    boxes = [image.get_window_extent() for image in drawn]
    for place, image in enumerate(drawn):
        row, column = divmod(place, 4)
        np.testing.assert_allclose(np.asarray(image.get_array()), given[column].values[row])
        # The eighth and later ones begin again from the top.
        above = boxes[4 * (row % 8) + column]
        assert boxes[place].y0 == above.y0
        assert (boxes[place].x0 > figure.bbox.width / 2) == (row > 7)
        (text,) = [text for text in figure.texts if text.get_text() == names[row]]
        name = text.get_window_extent()
        assert 0 < boxes[4 * row].x0 - name.x1 < name.width
        assert boxes[place].y0 < name.y0 < name.y1 < boxes[place].y1
    assert [text.get_text() for text in figure.texts].count("heading 3") == 2


def test_few_rows_and_columns_that_have_no_room_abreast_stay_below_each_other() -> None:
    for width, count, rows in ((7.0, 4, 4), (3.25, 4, 15)):
        figure, *_ = draw_grid(columns(count, rows), ["a"] * rows, CAPTION, Look(width=width))
        assert [text.get_text() for text in figure.texts].count("heading 3") == 1
