"""Where things lie in a figure: pixels from the top left corner, text sizes in em.

Axes are placed by hand: only so is every element of an observation drawn as the same whole number
of pixels, which a layout engine cannot promise.
"""

import functools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

# Text is 8 pt when a figure is printed this wide: 3.5 in for one column, 7.2 in for a page.
EMS_IN_COLUMN = 3.5 * 72 / 8
EMS_IN_PAGE = 7.2 * 72 / 8
LINE = 1.35
SMALLEST_TEXT = 8.0
LARGEST_PANEL = 1024


def panel_size(height: int, width: int, target: float) -> tuple[int, int]:
    """Pixels (height, width) near target for the longer side: a whole multiple of the array's."""
    longer = max(height, width)
    if longer > LARGEST_PANEL:
        return max(1, height * LARGEST_PANEL // longer), max(1, width * LARGEST_PANEL // longer)
    # Rounding half up: 224 elements get 2 pixels each in a panel of 336.
    scale = max(1, int(target / longer + 0.5))
    return height * scale, width * scale


def text_width(text: str, em: float, *, bold: bool = False) -> float:
    """Width of one line in pixels, em being the text's size in pixels; never too little."""
    # Hinting makes drawn text a little wider than its outline.
    return 1.04 * em * sum(_advance(character, bold) for character in text)


@functools.lru_cache(maxsize=1024)
def _advance(character: str, bold: bool) -> float:
    # Measured between two others, so that a space counts too; in em.
    font = FontProperties(family="DejaVu Sans", size=1, weight="bold" if bold else "normal")
    measure = text_to_path.get_text_width_height_descent
    within, _, _ = measure(f"x{character}x", font, ismath=False)
    without, _, _ = measure("xx", font, ismath=False)
    return float(within - without)


def wrap(text: str, width: float, em: float, *, bold: bool = False) -> list[str]:
    """Break text into lines of at most width pixels."""
    longest = max(1, int(width / (0.3 * em)))
    for characters in range(longest, 1, -1):
        lines = textwrap.wrap(text, characters)
        if all(text_width(line, em, bold=bold) <= width for line in lines):
            return lines
    return textwrap.wrap(text, 1)


@dataclass(frozen=True, kw_only=True)
class Header:
    """A title and the notes below it, broken into lines; em is the size of the text in pixels."""

    title: list[str]
    notes: list[str]
    em: float

    @property
    def height(self) -> float:
        """The height of its lines in em, without the margin above them."""
        return LINE * (len(self.title) + len(self.notes))

    def write(self, figure: Figure) -> float:
        """Write it at the top of a figure; return where the next line may begin, in pixels."""
        below = add_text(figure, 0.6 * self.em, 0.6 * self.em, self.title, self.em, bold=True)
        return add_text(figure, 0.6 * self.em, below, self.notes, self.em)


def header_of(texts: Sequence[str], width: float, em: float) -> Header:
    """Return a title (the first text) and notes (the others) for a figure of `width` pixels."""
    inner = width - 1.2 * em
    notes = [line for note in texts[1:] for line in wrap(note, inner, em)]
    return Header(title=wrap(texts[0], inner, em, bold=True), notes=notes, em=em)


def widest(texts: Sequence[str], em: float) -> float:
    """Width in pixels of the widest line."""
    return max(text_width(text, em) for text in texts)


def shortened(text: str, width: float, em: float) -> str:
    """Cut text that is wider than width pixels, and show that it was cut."""
    if text_width(text, em) <= width:
        return text
    while text and text_width(text + "…", em) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def new_figure(width: float, height: float, dpi: int) -> Figure:
    """Make a white figure of at least this many pixels, with an Agg canvas."""
    # The canvas cuts sizes off to whole pixels, so rounding errors must not fall below them.
    size = ((np.ceil(width) + 1e-6) / dpi, (np.ceil(height) + 1e-6) / dpi)
    figure = Figure(figsize=size, dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def add_panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place given in pixels from the top left corner, on whole pixels."""
    whole_width, whole_height = (int(length) for length in figure.bbox.size)
    left, top, width, height = round(left), round(top), round(width), round(height)
    bottom = whole_height - top - height
    return figure.add_axes(
        (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height),
        facecolor="white",
    )


def add_text(
    figure: Figure,
    left: float,
    top: float,
    lines: Sequence[str],
    em: float,
    *,
    bold: bool = False,
    align: str = "left",
) -> float:
    """Write lines below top (pixels) and return where the next line may begin."""
    for line in lines:
        _write(
            figure,
            left,
            top + 0.1 * em,
            line,
            em,
            fontweight="bold" if bold else "normal",
            horizontalalignment=align,
            verticalalignment="top",
        )
        top += LINE * em
    return top


def add_rotated(figure: Figure, centre: float, middle: float, text: str, em: float) -> None:
    """Write one line upwards around a point given in pixels from the top left corner."""
    _write(
        figure,
        centre,
        middle,
        text,
        em,
        rotation=90,
        horizontalalignment="center",
        verticalalignment="center",
    )


def _write(figure: Figure, left: float, top: float, text: str, em: float, **how: Any) -> None:
    width, height = figure.bbox.size
    figure.text(left / width, 1 - top / height, text, **text_style(em, figure.dpi), **how)


def text_style(em: float, dpi: float) -> dict[str, Any]:
    """Return how matplotlib is to write all text: no formulae in it, and em pixels high."""
    return {
        "fontfamily": "DejaVu Sans",
        "fontsize": points(em, dpi),
        "color": "black",
        "parse_math": False,
    }


def add_names(
    figure: Figure, right: float, top: float, pitch: float, names: Sequence[str], em: float
) -> None:
    """Write names that end at right, each in the middle of its pitch below top, in pixels."""
    for place, name in enumerate(names):
        above = top + (place + 0.5) * pitch - 0.52 * em
        add_text(figure, right, above, [name], em, align="right")


def points(em: float, dpi: float) -> float:
    """Return the size of text in points, from pixels."""
    return em * 72 / dpi


def smallest_em(dpi: int) -> float:
    """Return the size of the smallest text in pixels."""
    return SMALLEST_TEXT * dpi / 72
