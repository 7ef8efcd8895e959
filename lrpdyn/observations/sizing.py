"""Pictures resized and cropped as torchvision's ``Resize`` and ``CenterCrop`` do."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.files.nearby import did_you_mean
from lrpdyn.files.streamed import Streamed

#: As `PIL.Image.Resampling` and torchvision's ``InterpolationMode`` call them.
INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "lanczos", "box", "hamming")
_SIZE = r"[1-9]\d{0,4}"


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """What is done to each picture before the network.

    Attributes
    ----------
    side
        The length of the shorter side after resizing, as of ``Resize(side)``.
    size
        Or the whole size, (height, width), as of ``Resize((height, width))``.
    interpolation
        One of `INTERPOLATIONS`.
    crop
        The size, (height, width), of what is cut from the middle, as by ``CenterCrop``; a picture that
        is smaller gets a black border.
    """

    side: int | None = None
    size: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    crop: tuple[int, int] | None = None

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of a picture once it is resized, before it is cropped."""
        if self.side is None:
            return self.size or (height, width)
        # The longer side is rounded down, as by torchvision.
        if width <= height:
            return int(self.side * height / width), self.side
        return self.side, int(self.side * width / height)

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a picture (H, W) or (H, W, 3) resized and cropped."""
        from PIL import Image

        height, width = pixels.shape[:2]
        wanted = self.resized(height, width)
        if wanted != (height, width):
            how = Image.Resampling[self.interpolation.upper()]
            image = Image.fromarray(np.ascontiguousarray(pixels))
            pixels = np.asarray(image.resize(wanted[::-1], how))
        return pixels if self.crop is None else _cropped(pixels, self.crop)


def _cropped(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    lacking = [max(0, wanted - found) for wanted, found in zip(size, pixels.shape, strict=False)]
    border = [(lack // 2, (lack + 1) // 2) for lack in lacking]
    padded = np.pad(pixels, [*border, *[(0, 0)] * (pixels.ndim - 2)])
    # Halves are rounded to the even number, as by torchvision.
    top, left = (round((padded.shape[axis] - size[axis]) / 2) for axis in (0, 1))
    return padded[top : top + size[0], left : left + size[1]]


def parse_sizing(resize: str | int | None, crop: str | int | None) -> Sizing | None:
    """Return what ``--resize`` and ``--crop`` say; None where neither is given.

    Raises
    ------
    UsageError
        They say something else than ``224``, ``224x320``, ``256:bicubic`` and ``center:224``.

    Examples
    --------
    >>> parse_sizing("256:bicubic", "center:224").resized(400, 300)
    (341, 256)
    """
    if resize is None and crop is None:
        return None
    side, size, interpolation = None, None, "bilinear"
    if resize is not None:
        found = re.fullmatch(rf"({_SIZE})(?:x({_SIZE}))?(?::([a-z]+))?", str(resize))
        interpolation = (found and found[3]) or interpolation
        if found is None or interpolation not in INTERPOLATIONS:
            raise UsageError(
                f"--resize {resize}: expected the length of the shorter side, such as 224, or HEIGHTxWIDTH, "
                f"and after a colon {', '.join(INTERPOLATIONS)}"
                + ("" if found is None else did_you_mean(interpolation, INTERPOLATIONS))
            )
        side, size = (int(found[1]), None) if found[2] is None else (None, _pair(found))
    cut = None if crop is None else re.fullmatch(rf"center:({_SIZE})(?:x({_SIZE}))?", str(crop))
    if crop is not None and cut is None:
        raise UsageError(f"--crop {crop}: expected center:224 or center:HEIGHTxWIDTH")
    return Sizing(
        side=side, size=size, interpolation=interpolation, crop=None if cut is None else _pair(cut)
    )


def _pair(found: re.Match[str]) -> tuple[int, int]:
    return int(found[1]), int(found[2] or found[1])


def with_sizing(picture: Streamed, where: str, sizing: Sizing | None) -> Streamed:
    """Return a picture (H, W) or (H, W, C) resized and cropped whenever it is read.

    Raises
    ------
    ObservationError
        It is no picture of bytes.
    """
    if sizing is None:
        return picture
    if (
        picture.dtype != np.uint8
        or picture.ndim not in (2, 3)
        or picture.shape[2:] not in ((), (3,))
    ):
        raise ObservationError(
            f"{where}: {picture.dtype} of shape {picture.shape}; --resize and --crop are for grey or RGB "
            "pictures, .png or .jpg; give arrays in the network's size"
        )
    size = sizing.crop or sizing.resized(*picture.shape[:2])
    return Streamed(
        (*size, *picture.shape[2:]), np.uint8,
        lambda start, stop: sizing.apply(picture[:])[start:stop],
    )  # fmt: skip
