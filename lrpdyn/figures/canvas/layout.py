"""Where things lie in a figure: pixels from the top left corner, text sizes in em.

Axes are placed by hand: only so is every element of an observation drawn as the same whole number
of pixels, which a layout engine cannot promise.
"""

import functools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from lrpdyn.figures.canvas import words
from lrpdyn.figures.canvas.look import Look

LINE = 1.35
#: The share of the height that stands above a figure, at most; its margins take some of it.
LARGEST_HEADER = 0.095
LARGEST_PANEL = 1024
#: A map of so much of its place is not stretched to fill it.
FULL = 0.9
#: The group of what stands above a figure.
HEADER = "header"


def panel_size(height: int, width: int, target: float) -> tuple[int, int]:
    """Pixels (height, width) near target for the longer side: a whole multiple of the array's."""
    longer = max(height, width)
    if longer > LARGEST_PANEL:
        return max(1, height * LARGEST_PANEL // longer), max(1, width * LARGEST_PANEL // longer)
    # Rounding half up: 224 elements get 2 pixels each in a panel of 336.
    scale = max(1, int(target / longer + 0.5))
    return height * scale, width * scale


def panel_within(height: int, width: int, side: int) -> tuple[int, int]:
    """Pixels (height, width) that fill a square of `side`: whole multiples, where these nearly do."""
    longer = max(height, width)
    if longer * (side // longer) >= FULL * side:
        return height * (side // longer), width * (side // longer)
    return max(1, round(height * side / longer)), max(1, round(width * side / longer))


def text_width(text: str, em: float, *, bold: bool = False) -> float:
    """Width of one line in pixels, em being the text's size in pixels; never too little."""
    words_ = sum(_advance(character, bold) for character in words.SYMBOL.sub("", text))
    symbols = sum(_symbol_width(symbol) for symbol in words.SYMBOL.findall(text))
    # Hinting makes drawn text a little wider than its outline.
    return 1.04 * em * (words_ + symbols)


@functools.lru_cache(maxsize=64)
def _symbol_width(symbol: str) -> float:
    font = FontProperties(family="DejaVu Sans", size=20)
    width, _, _ = text_to_path.get_text_width_height_descent(symbol, font, ismath=True)
    return float(width) / 20


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
    """What is written above a figure, in lines; em is the size of the text in pixels."""

    title: list[str]
    notes: list[str]
    em: float

    @property
    def height(self) -> float:
        """The height of its lines in em, without the margin above them."""
        return LINE * (len(self.title) + len(self.notes))

    def write(self, figure: Figure) -> float:
        """Write it at the top of a figure; return where the next line may begin, in pixels."""
        below = add_text(
            figure, 0.6 * self.em, 0.6 * self.em, self.title, self.em, bold=True, gid=HEADER
        )
        return add_text(figure, 0.6 * self.em, below, self.notes, self.em, gid=HEADER)


def header_of(caption: words.Caption, look: Look, width: float, em: float, below: float) -> Header:
    """Return what stands above a figure of `width` pixels with `below` em of drawing.

    The line below the title loses its last parts where they do not fit into the width, and is left
    out where the figure is not high enough for it.
    """
    inner = width - 1.2 * em
    if look.header == "none":
        return Header(title=[], notes=[], em=em)
    title = wrap(look.title or caption.title, inner, em, bold=True)
    parts = list(caption.line)
    if look.header == "full":
        texts = ["; ".join(parts), *caption.notes]
        notes = [line for text in texts for line in wrap(text, inner, em)]
        return Header(title=title, notes=notes, em=em)
    while parts and text_width("; ".join(parts), em) > inner:
        parts.pop()
    lines = LINE * (len(title) + 1)
    fits = parts and lines <= LARGEST_HEADER * (1.2 + lines + below)
    return Header(title=title, notes=["; ".join(parts)] if fits else [], em=em)


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


def shortened_name(name: str, width: float, em: float) -> str:
    """Cut the beginning of a name that is wider than width pixels: a path's end tells it from others."""
    return shortened(name[::-1], width, em)[::-1]


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
    gid: str | None = None,
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
            gid=gid,
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
    style = text_style(em, figure.dpi)
    if words.SYMBOL.search(text):
        style["parse_math"] = True
        text = _dollars_escaped(text)
    figure.text(left / width, 1 - top / height, text, **style, **how)


def _dollars_escaped(text: str) -> str:
    """Return text for mathtext: what is no symbol of ours is written as it is."""
    rest = (part.replace("$", r"\$") for part in words.SYMBOL.split(text))
    symbols = words.SYMBOL.findall(text)
    return "".join(chain.from_iterable(zip_longest(rest, symbols, fillvalue="")))


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
