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

from lrpdyn.files.text import first_line

#: Other formats would be recognised by content whatever the name, and some (EPS) start programs.
_FORMATS = ("PNG", "JPEG")
#: What Pillow raises on files that are no pictures, or damaged ones, besides OSError.
_ERRORS = (ValueError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, EOFError,
           OverflowError, MemoryError, NotImplementedError, struct.error, zlib.error)  # fmt: skip


def read_picture(path: Path, *modes: str) -> NDArray[np.uint8]:
    """Return the pixels of a picture, (H, W) or (H, W, channels).

    Parameters
    ----------
    modes
        Pillow's names of the kinds of pixels that are wanted, such as ``L`` or ``RGB``; a picture of
        another kind is converted to the last of them.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is no PNG or JPEG, is damaged, or has more pixels than Pillow takes to be meant well
        (``PIL.Image.MAX_IMAGE_PIXELS``).
    """
    with _opened(path) as image:
        return np.asarray(image if image.mode in modes else image.convert(modes[-1]))


def picture_shape(path: Path, *modes: str) -> tuple[int, ...]:
    """Return the shape of what `read_picture` gives, from the header alone; raises as it does."""
    from PIL import Image

    with _opened(path) as image:
        channels = Image.getmodebands(image.mode if image.mode in modes else modes[-1])
        return (image.height, image.width, *((channels,) if channels > 1 else ()))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a picture; what Pillow makes of a damaged one is a ValueError."""
    from PIL import Image, UnidentifiedImageError

    errors: tuple[Any, ...] = (*_ERRORS, Image.DecompressionBombError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of strange metadata; only the pixels are taken
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(os.fspath(path), formats=_FORMATS) as image:
                yield image
    except UnidentifiedImageError as error:
        raise ValueError("is no PNG or JPEG") from error
    except Image.DecompressionBombWarning as error:
        raise ValueError(str(error).partition(",")[0]) from error
    except errors as error:
        raise ValueError(first_line(error)) from error
