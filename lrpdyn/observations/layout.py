"""How the axes of an array of observations are arranged: told by the network, or by the user."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.files.streamed import Streamed, as_sample
from lrpdyn.observations.frames import merged

LAYOUTS = ("NCHW", "NHWC", "CHW", "HWC", "NHW", "HW", "NF", "F", "NKHWC", "NKCHW")


@dataclass(frozen=True)
class Expected:
    """What the network takes.

    `channels` where it begins with a convolution, `features` (entries of one sample) where it
    begins with a Linear layer; `divisor` of uint8 and `range` as in
    `lrpdyn.architectures.model.Preprocessing`; `shape` of one sample where the checkpoint tells it.
    """

    channels: int | None = None
    features: int | None = None
    divisor: float | None = None
    range: tuple[float, float] | None = None
    shape: tuple[int, ...] | None = None


def arrange(
    array: Streamed, where: str, expected: Expected, layout: str | None
) -> tuple[Streamed, str]:
    """Return the array as (N, C, H, W) or (N, F), and the layout that it had.

    Raises
    ------
    ObservationError
        Its shape does not fit the network, or may be read in several ways.
    UsageError
        It does not have the `layout` that was said.
    """
    if array.ndim == 5 and expected.channels is not None and layout in (None, "NKHWC", "NKCHW"):
        stacks = merged(array, expected.channels)
        if stacks is not None and layout in (None, stacks[1]):
            return stacks
    candidates = [layout] if layout else _possible(array.shape, expected)
    fits = {name: values for name in candidates if (values := _as(array, name)) is not None}
    if layout and not fits:
        raise UsageError(f"--layout {layout}: {where} has {array.ndim} dimensions, {array.shape}")
    if not fits:
        takes = (
            f"{expected.channels} channels"
            if expected.channels is not None
            else f"{expected.features} entries for each sample"
        )
        raise ObservationError(
            f"{where}: shape {array.shape} does not fit the network, which takes {takes}"
        )
    if len({values.shape for values in fits.values()}) > 1 or len(fits) > 1:
        raise ObservationError(
            f"{where}: shape {array.shape} may be {' or '.join(fits)}; say which with --layout"
        )
    return next((values, name) for name, values in fits.items())


def _possible(shape: tuple[int, ...], expected: Expected) -> list[str]:
    channels = expected.channels
    if channels is not None:
        places = {"NCHW": 1, "NHWC": 3, "CHW": 0, "HWC": 2}
        fits = [
            name
            for name, place in places.items()
            if len(name) == len(shape) and shape[place] == channels
        ]
        if not fits and channels == 1 and len(shape) in (2, 3):
            fits = ["NHW" if len(shape) == 3 else "HW"]
        return fits
    entries = expected.features
    if len(shape) == 1:
        return ["F"] if shape[0] == entries else []
    if int(np.prod(shape[1:])) == entries:
        return [{2: "NF", 3: "NHW", 4: "NCHW"}.get(len(shape), "NF")]
    if int(np.prod(shape)) == entries:
        return [{2: "HW", 3: "CHW"}.get(len(shape), "F")]
    return []


def _as(array: Streamed, layout: str) -> Streamed | None:
    if len(layout) != array.ndim:
        return None
    if "N" not in layout:
        array, layout = as_sample(array), "N" + layout
    if layout == "NHW":
        return array.changed((1, *array.shape[1:]), lambda piece: piece[:, None])
    if layout != "NHWC":
        return array
    shape = (array.shape[3], *array.shape[1:3])
    return array.changed(shape, lambda piece: np.moveaxis(piece, -1, 1))
