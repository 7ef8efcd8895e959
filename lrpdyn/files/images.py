"""PNG and JPEG files that anybody may have made, read within the limits of Pillow."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.files.plain import check_plain
from lrpdyn.files.text import first_line

#: Other formats would be recognised by content whatever the name, and some (EPS) start programs.
_FORMATS = ("PNG", "JPEG")
#: By Pillow's mode of a picture, the mode of arrays that holds the same pixels.
_SAME_PIXELS = {
    "L": "L",
    "RGB": "RGB",
    "RGBA": "RGBA",
    "1": "L",
    "P": "RGB",
    "LA": "RGBA",
    "PA": "RGBA",
}
#: What Pillow raises on files that are no pictures, or damaged ones, besides OSError.
_ERRORS = (ValueError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, EOFError,
           OverflowError, MemoryError, NotImplementedError, struct.error, zlib.error)  # fmt: skip


def read_picture(path: Path, mode: str | None = None) -> NDArray[np.uint8]:
    """Return the pixels of a picture, (H, W), (H, W, 3), or (H, W, 4) where some may be transparent.

    Parameters
    ----------
    mode
        Pillow's name of the kind of pixels that it is converted to, such as ``L`` or ``RGB``; where
        not given, grey, RGB or RGBA, whichever has the same pixels.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is no PNG or JPEG, is damaged, has more pixels than Pillow takes to be meant well
        (``PIL.Image.MAX_IMAGE_PIXELS``), or, without `mode`, has pixels that are none of these.
    """
    with _opened(path) as image:
        wanted = mode or _same_pixels(image)
        return np.asarray(image if image.mode == wanted else image.convert(wanted))


def picture_shape(path: Path, mode: str | None = None) -> tuple[int, ...]:
    """Return the shape of what `read_picture` gives, from the header alone; raises as it does."""
    from PIL import Image

    with _opened(path) as image:
        channels = Image.getmodebands(mode or _same_pixels(image))
        return (image.height, image.width, *((channels,) if channels > 1 else ()))


def _same_pixels(image: Any) -> str:
    """Return the mode that holds a picture's pixels unchanged, 0 to 255."""
    raw = image.tile[0][3] if image.tile else ""
    if ";16" in str(raw) or image.mode.startswith(("I", "F")):
        raise ValueError(
            f"it has 16 bits a channel ({image.mode}), which 0 to 255 cannot hold; convert it as in "
            "training, or give a .npy"
        )
    if image.mode not in _SAME_PIXELS:
        raise ValueError(
            f"its pixels are {image.mode}; convert it to grey or RGB as in training, or give a .npy"
        )
    return "RGBA" if "transparency" in image.info else _SAME_PIXELS[image.mode]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a picture; what Pillow makes of a damaged one is a ValueError."""
    from PIL import Image, UnidentifiedImageError

    errors: tuple[Any, ...] = (*_ERRORS, Image.DecompressionBombError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of strange metadata; only the pixels are taken
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            check_plain(path)
            with Image.open(os.fspath(path), formats=_FORMATS) as image:
                yield image
    except UnidentifiedImageError as error:
        raise ValueError("is no PNG or JPEG") from error
    except Image.DecompressionBombWarning as error:
        raise ValueError(str(error).partition(",")[0]) from error
    except errors as error:
        raise ValueError(first_line(error)) from error
