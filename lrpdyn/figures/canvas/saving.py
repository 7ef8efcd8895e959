"""Writing a figure and its caption: whole or not at all, and the same bytes each time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.words import Caption
from lrpdyn.files.atomic import whole_file
from lrpdyn.run.layout import CAPTION_END, caption_path

# A PNG names its software, a PDF and an SVG the time: none of it belongs in equal bytes.
METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}
#: Where each has its caption.
DESCRIPTION = {".png": "Description", ".svg": "Description", ".pdf": "Subject"}
#: Settings that change no picture, and that a program has made for itself.
NO_STYLE = {"backend", "backend_fallback", "date.epoch", "interactive", "timezone", "toolbar"}
#: What Agg can draw on each side, and what is 1 GiB of pixels.
MOST_PIXELS_ON_A_SIDE, MOST_PIXELS = 2**16 - 1, 2**28


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """Draw by matplotlib's defaults, whatever a matplotlibrc or a notebook's style says.

    Identifiers in an SVG are made from its hash salt, at random where there is none.
    """
    defaults = {
        key: value for key, value in matplotlib.rcParamsDefault.items() if key not in NO_STYLE
    }
    with matplotlib.rc_context({**defaults, "svg.hashsalt": "lrpdyn"}):
        yield


#: Where figures go that are not to be written.
_KEPT: ContextVar[list[Figure] | None] = ContextVar("kept", default=None)


@contextlib.contextmanager
def kept() -> Iterator[list[Figure]]:
    """Give the figures that are saved within, which are not written."""
    figures: list[Figure] = []
    token = _KEPT.set(figures)
    try:
        yield figures
    finally:
        _KEPT.reset(token)


def save_figure(figure: Figure, path: str | os.PathLike[str], caption: Caption, look: Look) -> None:
    """Write a figure, with its caption in its metadata and next to it, each whole or not at all.

    Raises
    ------
    UsageError
        The suffix is none of .png, .svg and .pdf, or there would be too many pixels.
    RunError
        A file cannot be written.
    """
    figures = _KEPT.get()
    if figures is not None:
        figures.append(figure)
        return
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in METADATA:
        known = " or ".join(METADATA)
        raise UsageError(
            f"figure {target}: expected a name ending in {known}, found {suffix or 'none'}"
        )
    width, height = (int(side) for side in figure.bbox.size)
    too_many = max(width, height) > MOST_PIXELS_ON_A_SIDE or width * height > MOST_PIXELS
    if suffix == ".png" and too_many:
        raise UsageError(
            f"figure {target}: {width:,} x {height:,} pixels are too many for a PNG; choose a "
            "smaller --dpi or fewer samples"
        )
    text = caption.text(look.title)
    title = text.partition("\n")[0]
    metadata = {**METADATA[suffix], "Title": title, DESCRIPTION[suffix]: text}
    with whole_file(target, "wb") as file:
        figure.savefig(file, dpi=figure.dpi, format=suffix[1:], metadata=metadata)
    save_caption(target, text)


def save_caption(figure: Path, text: str) -> None:
    """Write the caption of a figure next to it.

    Raises
    ------
    RunError
        The file cannot be written.
    """
    with whole_file(caption_path(figure), "wb") as file:
        file.write(f"{text}{CAPTION_END}\n".encode())
