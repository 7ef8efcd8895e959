"""How figures look, as the user chooses it. Loads no matplotlib: requests are made before drawing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from lrpdyn.errors import UsageError

# Distinct with any colour vision; along a sequential one, equal steps look equal.
SEQUENTIAL = ("inferno", "magma", "plasma", "viridis", "cividis", "Greys")
DIVERGING = ("RdBu", "PuOr", "BrBG", "PiYG", "coolwarm")
COLOURS, SIGNED_COLOURS = "inferno", "RdBu_r"


#: What is written above a figure: all of its caption, a title and at most one line, or nothing.
Header = Literal["full", "short", "none"]
HEADERS: tuple[Header, ...] = get_args(Header)
#: What has a colour scale of its own: every map, every sample, or nothing less than all of them.
ScaleBy = Literal["step", "sample", "all"]
SCALES: tuple[ScaleBy, ...] = get_args(ScaleBy)
#: Points of text, and the widths in inches that it has that size at, where a figure is printed.
FONT_SIZE, COLUMN, PAGE = 8.0, 3.25, 7.0
#: The height of a page in inches, less its margins and a caption.
PAGE_HEIGHT = 9.5
#: The least width of a figure, in heights of its text: less holds no two words side by side.
LEAST_WIDTH = 26.0
CENTIMETRES, WIDEST = 2.54, 50.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a figure looks.

    `dpi` are the pixels to the inch, `width` in inches (None: wide enough for a screen, with text of
    `font_size` points where it is printed in a column or across a page). `colours` names the map of
    what is not negative, `signed_colours` that of what has a sign. `title` takes the place of the
    figure's own, and `header` says how much stands above it.
    """

    dpi: int = 150
    width: float | None = None
    font_size: float = FONT_SIZE
    colours: str = COLOURS
    signed_colours: str = SIGNED_COLOURS
    header: Header = "short"
    title: str | None = None

    def __post_init__(self) -> None:
        """Check that some words fit into a line.

        Raises
        ------
        UsageError
            The text is too large for the width.
        """
        width = COLUMN if self.width is None else self.width
        largest = width * 72 / LEAST_WIDTH
        if self.font_size > largest:
            option = "" if self.width is None else f" with --width {self.width:.3g}in"
            raise UsageError(
                f"--font-size {self.font_size:g}{option}: the words of a figure do not fit; expected "
                f"at most {int(largest * 10) / 10:g} points, or a larger --width"
            )

    @property
    def em(self) -> float:
        """The size of text in pixels, where the figure is as wide as it is printed."""
        return self.font_size * self.dpi / 72

    @property
    def page_height(self) -> float:
        """The height of a printed page in em."""
        return PAGE_HEIGHT * 72 / self.font_size

    def page(self, drawn: float, printed: float) -> tuple[float, float]:
        """Return the width of a figure and the size of its text, in pixels.

        Without a width it is `drawn` inches wide, with text for being `printed` that wide.
        """
        if self.width is not None:
            return self.width * self.dpi, self.em
        return drawn * self.dpi, self.em * drawn / printed


DEFAULT_LOOK = Look()


def with_colours(look: Look, names: Sequence[str]) -> Look:
    """Return a look with other colour maps: sequential for dynamics, diverging for relevance.

    Raises
    ------
    UsageError
        A name is no map that is even and safe for colour-blind readers.

    Examples
    --------
    >>> look = with_colours(Look(), ["viridis_r", "PuOr"])
    >>> look.colours, look.signed_colours
    ('viridis_r', 'PuOr')
    """
    for name in names:
        if name.removesuffix("_r") in SEQUENTIAL:
            look = replace(look, colours=name)
        elif name.removesuffix("_r") in DIVERGING:
            look = replace(look, signed_colours=name)
        else:
            raise UsageError(
                f"--cmap {name}: expected one of {', '.join(SEQUENTIAL)} for what is not negative, or "
                f"of {', '.join(DIVERGING)} for relevance, each also reversed as {SEQUENTIAL[0]}_r; "
                "others are uneven, or cannot be distinguished by every reader"
            )
    return look


def inches(text: str) -> float:
    """Read a width as 3.25in or 8cm.

    Raises
    ------
    UsageError
        It is none.

    Examples
    --------
    >>> inches("3.25in"), round(inches("8 cm"), 3)
    (3.25, 3.15)
    """
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(in|cm)", text.strip().lower())
    width = float(found[1]) / (CENTIMETRES if found[2] == "cm" else 1.0) if found else 0.0
    if not 1.0 <= width <= WIDEST:
        raise UsageError(
            f"--width {text}: expected inches or centimetres, as 3.25in or 8cm, from 1in to {WIDEST:g}in"
        )
    return width
