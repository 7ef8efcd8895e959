"""Maps in rows and columns: every row with a name, every column with a heading and a scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from lrpdyn.figures.canvas import layout, maps
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.style import Array

#: So many columns are legible in a paper's column, more in its page.
MOST_IN_COLUMN = 5
#: The row's name, such as "sample 12" upwards, and the margins around all columns, in em.
LOWEST_ROW, MARGINS = 5.6, 2.1 + 0.6
GAP = 0.4
#: A colour bar with its labels, in em.
BAR = 0.7 + 1.6


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of maps: the lines above it, (rows, H, W) or (rows, H, W, 3) values, their scale."""

    heading: Sequence[str]
    values: Array
    scale: maps.Scale


def draw_grid(
    columns: Sequence[Column],
    names: Sequence[str],
    header: Sequence[str],
    look: Look,
    *,
    ems_below: float = 0.0,
) -> tuple[Figure, float, float]:
    """Draw maps in rows and columns, with a header that says how each column is coloured.

    Returns the figure, where there is room below (pixels from its top), and em, the size of text.

    `columns` are from left to right, `names` those of the rows from top to bottom; the scales of
    the columns are written below the title and notes of `header`; `ems_below` is room to leave
    below.
    """
    dpi = look.dpi
    ems = layout.EMS_IN_COLUMN if len(columns) <= MOST_IN_COLUMN else layout.EMS_IN_PAGE
    high, wide = columns[0].values.shape[1:3]
    panel_height, panel_width = layout.panel_size(high, wide, 252 * dpi / 150)
    cell = max(panel_width, round(1.6 * dpi))
    margins = MARGINS + GAP * (len(columns) - 1)
    em = len(columns) * cell / (ems - margins)
    # Few columns do not swell the text.
    em = min(em, cell / 5.4)
    width = len(columns) * cell + margins * em
    row_height = max(panel_height, round(LOWEST_ROW * em))
    scales = list(dict.fromkeys(column.scale.heading for column in columns if column.scale.note))
    head = layout.header_of([*header, *scales], width, em)
    bars_top = (1.1 + head.height) * em
    bars_top += layout.LINE * max(len(column.heading) for column in columns) * em
    rows_top = bars_top + BAR * em
    pitch = row_height + GAP * em
    bottom = rows_top + len(names) * pitch
    figure = layout.new_figure(width, bottom + (0.2 + ems_below) * em, dpi)

    head.write(figure)
    lefts = [2.1 * em + place * (cell + GAP * em) for place in range(len(columns))]
    for left, column in zip(lefts, columns, strict=True):
        # What has no bar is headed where the bars are.
        below = bars_top if column.scale.note else rows_top - 0.2 * em
        above = below - layout.LINE * em * len(column.heading)
        layout.add_text(figure, left + cell / 2, above, column.heading, em, align="center")
        if column.scale.note:
            maps.add_small_bar(figure, column.scale, left, bars_top, cell, em)
    inset = (cell - panel_width) // 2
    for row, name in enumerate(names):
        top = rows_top + row * pitch
        shown = layout.shortened(name[::-1], row_height, em)[
            ::-1
        ]  # a path's end tells it from others
        layout.add_rotated(figure, 1.2 * em, top + row_height / 2, shown, em)
        top += (row_height - panel_height) // 2
        for left, column in zip(lefts, columns, strict=True):
            values = column.values[row]
            maps.show_map(
                figure, values, column.scale, left + inset, top, panel_width, panel_height
            )
    return figure, bottom, em
