"""Pictures as arrays: what a file format adds to the pixels is taken off, or asked about."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import ObservationError
from lrpdyn.files.streamed import Streamed, as_sample, pieces
from lrpdyn.observations.frames import grey
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.sizing import Sizing, with_sizing

GREY_AS_COLOURS = (
    "grey pictures are given to the network with red, green and blue alike, as torchvision's ImageFolder "
    "reads them"
)
ALPHA_DROPPED = "the alpha channel of pictures, the same in all of a picture, is dropped"


def plain_picture(
    picture: Streamed,
    where: str,
    expected: Expected,
    *,
    stack: int | None,
    sizing: Sizing | None = None,
) -> tuple[Streamed, list[str]]:
    """Return a picture with the channels that the network takes, and what was done in sentences.

    Parameters
    ----------
    picture
        (H, W), (H, W, 3), or (H, W, 4) with an alpha channel.
    stack
        How many pictures make an observation, where they are frames.
    sizing
        How it is resized and cropped.

    Raises
    ------
    ObservationError
        The network takes four channels, of which alpha would be one; or, on reading, alpha varies.
    """
    notes = []
    if picture.ndim == 3 and picture.shape[2] == 4:
        if stack is None and 4 in (expected.depth, _depth(picture, expected)):
            raise ObservationError(
                f"{where}: RGBA pictures, and the network takes 4 channels{expected.source}: are they "
                "frames? then --stack 4; if it was trained on red, green, blue and alpha, --layout HWC"
            )
        picture = picture.changed((picture.shape[1], 3), lambda rows: _opaque(rows, where))
        notes.append(ALPHA_DROPPED)
    picture = with_sizing(picture, where, sizing)
    if picture.ndim == 2 and stack is None and expected.depth == 3:
        picture = _grey_as_colours(picture)
        notes.append(GREY_AS_COLOURS)
    single = 1 in (expected.depth, _depth(picture, expected))
    if picture.ndim == 3 and stack is None and single:
        picture = grey(as_sample(picture), where)
    return picture, notes


def _grey_as_colours(picture: Streamed) -> Streamed:
    return picture.changed(
        (picture.shape[1], 3), lambda rows: np.repeat(rows[..., None], 3, axis=-1)
    )


def _depth(picture: Streamed, expected: Expected) -> int | None:
    """Return how many channels of this size a network of flat observations takes."""
    if expected.features is None:
        return None
    depth, rest = divmod(expected.features, picture.shape[0] * picture.shape[1])
    return None if rest else depth


def _opaque(rows: NDArray[Any], where: str) -> NDArray[Any]:
    if (rows[..., 3] != rows.flat[3]).any():
        raise ObservationError(
            f"{where}: its alpha channel varies; the network saw no alpha: save the pictures without"
        )
    return rows[..., :3]


def check_no_alpha(values: Streamed, where: str, expected: Expected) -> None:
    """Raise ObservationError where the last of four channels is an alpha channel by all it holds.

    Such as arrays of ``plt.imread``: it is at its largest value everywhere, and the others are not.
    """
    if expected.depth != 4 or values.ndim != 4:
        return
    most = 255 if values.dtype.kind in "ui" else 1
    varies = False
    for piece in pieces(values):
        if (piece[:, 3] != most).any():
            return
        varies = varies or bool((piece[:, :3] != most).any())
    if varies:
        raise ObservationError(
            f"{where}: the last of 4 channels is {most} everywhere, as alpha is, and the network takes 4 "
            f"channels{expected.source}: are they RGBA pictures of single frames? drop alpha and give "
            "--stack 4; if it is a channel of the observations, say --layout NCHW (or NHWC)"
        )
