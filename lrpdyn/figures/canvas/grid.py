"""Maps in rows and columns: every row with a name, every column with a heading and a scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from matplotlib.figure import Figure

from lrpdyn.figures.canvas import layout, maps
from lrpdyn.figures.canvas.look import COLUMN, PAGE, Look
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.canvas.words import Caption

#: So many columns are legible in a paper's column, more in its page.
MOST_IN_COLUMN = 5
#: The row's name, such as "sample 12" upwards, its place at the left, and the margins of all columns, in em.
LOWEST_ROW, NAMES, END = 5.6, 2.1, 0.6
MARGINS = NAMES + END
GAP = 0.4
#: A column is no narrower, for its heading's sake: what does not fit stands below; in em.
NARROWEST = 4.95
#: The room for the headings and the bars of columns, and for what stands above a figure, in em.
OF_HEADINGS, OF_HEADER = 5.0, 3.6
#: Of few rows, so many columns fill the height better.
ABREAST = 2
#: A figure that is narrower has so few rows of maps that its title would fill it; in em.
LOW = 45.0


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of maps: what is written above it, (rows, H, W) or (rows, H, W, 3) values, their scale.

    `limits` are written below its maps, one each, where each has a scale of its own.
    """

    heading: str
    values: Array
    scale: maps.Scale
    limits: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class _Measures:
    """Sizes in pixels: of a cell, of a map in it, of text, of the figure; and columns abreast.

    Many rows are in several `blocks` next to each other.
    """

    cell: int
    height: int
    width: int
    em: float
    across: float
    abreast: int
    blocks: int = 1


def draw_grid(
    columns: Sequence[Column],
    names: Sequence[str],
    caption: Caption,
    look: Look,
    *,
    ems_below: float = 0.0,
) -> tuple[Figure, float, float]:
    """Draw maps in rows and columns, with a heading and a colour bar above each column.

    Returns the figure, where there is room below (pixels from its top), and em, the size of text.

    `columns` are from left to right, and go on below where the figure is too narrow for all; `names`
    are those of the rows from top to bottom, which go on in a second block at the right where a page is
    too low for all; `ems_below` is room to leave below.
    """
    size = _measure(len(columns), len(names), columns[0].values.shape[1:3], look, ems_below)
    em, cell = size.em, size.cell
    bands = [columns[at : at + size.abreast] for at in range(0, len(columns), size.abreast)]
    row_height = max(size.height, round(LOWEST_ROW * em))
    of_limit = layout.LINE * em if any(column.limits for column in columns) else 0.0
    pitch = row_height + of_limit + GAP * em
    bar = maps.small_bar_height([column.scale for column in columns]) * em
    headings = [layout.wrap(column.heading, cell, em) for column in columns]
    heading = layout.LINE * max(map(len, headings)) * em
    each = -(-len(names) // size.blocks)
    of_band = heading + bar + each * pitch + 0.2 * em
    head = layout.header_of(caption, look, size.across, em, len(bands) * of_band / em + ems_below)
    top = (0.9 + head.height) * em
    bottom = top + len(bands) * of_band
    figure = layout.new_figure(size.across, bottom + ems_below * em, look.dpi)
    head.write(figure)
    inset = (cell - size.width) // 2
    of_block = NAMES * em + size.abreast * (cell + GAP * em)
    for number, first in product(range(len(bands)), range(0, len(names), each)):
        above = top + number * of_band
        rows_top = above + heading + bar
        from_left = first // each * of_block
        lefts = [
            from_left + NAMES * em + place * (cell + GAP * em)
            for place in range(len(bands[number]))
        ]
        for place, (left, column) in enumerate(zip(lefts, bands[number], strict=True)):
            # What has no bar is headed where the bars are.
            below = above + heading if column.scale.note else rows_top - 0.2 * em
            lines = headings[number * size.abreast + place]
            lines_top = below - layout.LINE * em * len(lines)
            layout.add_text(figure, left + cell / 2, lines_top, lines, em, align="center")
            if column.scale.note:
                maps.add_small_bar(figure, column.scale, left, above + heading, cell, em)
        for place, row in enumerate(range(first, min(first + each, len(names)))):
            row_top = rows_top + place * pitch
            middle, under = row_top + row_height / 2, row_top + row_height
            shown = layout.shortened_name(names[row], row_height, em)
            layout.add_rotated(figure, from_left + 1.2 * em, middle, shown, em)
            map_top = row_top + (row_height - size.height) // 2
            for left, column in zip(lefts, bands[number], strict=True):
                at = left + inset, map_top, size.width, size.height
                maps.show_map(figure, column.values[row], column.scale, *at)
                for limit in column.limits[row : row + 1]:
                    layout.add_text(figure, left + cell / 2, under, [limit], em, align="center")
    return figure, bottom, em


def page_of(columns: int, shape: Sequence[int], look: Look) -> tuple[float, float]:
    """Return the width of a grid of several rows of maps (H, W), and the size of its text, in pixels."""
    size = _measure(columns, 2, shape, look)
    return size.across, size.em


def columns_abreast(look: Look) -> int:
    """Return how many columns fit into the width of a figure; of a screen, into a page."""
    return _most_abreast(*look.page(PAGE, PAGE))


def _most_abreast(across: float, em: float) -> int:
    return max(1, int((across / em - MARGINS + GAP) / (NARROWEST + GAP)))


def _measure(
    count: int, rows: int, shape: Sequence[int], look: Look, ems_below: float = 0.0
) -> _Measures:
    """Return how large the cells of `count` columns are, and how many of them lie abreast."""
    high, wide = shape
    if look.width is None:
        height, width = layout.panel_size(high, wide, 252 * look.dpi / 150)
        cell = max(width, round(1.6 * look.dpi))
        printed = COLUMN if count <= MOST_IN_COLUMN else PAGE
        margins = MARGINS + GAP * (count - 1)
        em = count * cell / (printed * 72 / look.font_size - margins)
        # Few columns do not swell the text, and many do not shrink it.
        em = min(em, cell / NARROWEST)
        return _Measures(cell=cell, height=height, width=width, em=em,
                         across=count * cell + margins * em, abreast=count)  # fmt: skip
    across, em = look.page(look.width, look.width)
    bands = -(-count // _most_abreast(across, em))
    if rows == 1 and bands == 1 and across < LOW * em:
        bands = -(-count // ABREAST)
    abreast = -(-count // bands)
    found = _blocks(1, abreast, shape, across, em)
    # What is too high for a page goes on at the right, as long as its columns are not too narrow.
    while bands == 1 and (blocks := found.blocks + 1) <= rows:
        each = max(found.height / em, LOWEST_ROW) + GAP
        needed = OF_HEADER + OF_HEADINGS + -(-rows // found.blocks) * each + ems_below
        more = _blocks(blocks, abreast, shape, across, em)
        if needed <= look.page_height or more.cell < NARROWEST * em:
            break
        found = more
    return found


def _blocks(blocks: int, abreast: int, shape: Sequence[int], across: float, em: float) -> _Measures:
    """Return how large cells are that lie in `blocks` next to each other."""
    margins = (NAMES + GAP * abreast) * blocks - GAP + END
    cell = int((across - margins * em) / (abreast * blocks))
    height, width = layout.panel_within(shape[0], shape[1], cell)
    return _Measures(cell=cell, height=height, width=width, em=em, across=across, abreast=abreast,
                     blocks=blocks)  # fmt: skip
