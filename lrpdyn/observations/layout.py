"""The order of the axes of observations, which follows from the network where the user gives none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.files.streamed import Streamed, as_sample
from lrpdyn.observations.frames import channels_first, merged

LAYOUTS = ("NCHW", "NHWC", "CHW", "HWC", "NHW", "HW", "NF", "F", "NKHWC", "NKCHW", "NLC",
           "NCL")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The observations that the network takes.

    `channels` where it begins with a convolution, `features` (entries of one sample) where it
    begins with a Linear layer, which may take each place of a sequence on its own; `sequences` where
    the convolution has one dimension; `divisor` of uint8 and `range` as in
    `lrpdyn.architectures.model.Preprocessing`; `shape` of one sample where the checkpoint has it.
    """

    channels: int | None = None
    features: int | None = None
    sequences: bool = False
    divisor: float | None = None
    range: tuple[float, float] | None = None
    shape: tuple[int, ...] | None = None


def arrange(
    array: Streamed, where: str, expected: Expected, layout: str | None
) -> tuple[Streamed, str]:
    """Return the array as (N, C, H, W) or (N, F), and the layout that it had.

    Sequences (N, L, C) and (N, C, L) stay as they are.

    Raises
    ------
    ObservationError
        Its shape does not fit the network, or may be read in several ways.
    UsageError
        It does not have the `layout` that was given.
    """
    if array.ndim == 5 and expected.channels is not None and layout in (None, "NKHWC", "NKCHW"):
        stacks = merged(array, expected.channels)
        if stacks is not None and layout in (None, stacks[1]):
            return stacks
    candidates = [layout] if layout else _fitting_layouts(array.shape, expected)
    fits = {name: values for name in candidates if (values := _as_layout(array, name)) is not None}
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
    if len(fits) > 1:
        raise ObservationError(
            f"{where}: shape {array.shape} may be {' or '.join(fits)}; say which with --layout"
        )
    ((name, values),) = fits.items()
    return values, name


def _fitting_layouts(shape: tuple[int, ...], expected: Expected) -> list[str]:
    channels = expected.channels
    if expected.sequences:
        places = {"NCL": 1, "NLC": 2}
        return [n for n, place in places.items() if len(shape) == 3 and shape[place] == channels][
            :1
        ]
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
    if len(shape) == 3 and shape[2] == entries:
        return ["NLC"]
    if int(np.prod(shape)) == entries:
        return [{2: "HW", 3: "CHW"}.get(len(shape), "F")]
    return []


def _as_layout(array: Streamed, layout: str) -> Streamed | None:
    if len(layout) != array.ndim:
        return None
    if "N" not in layout:
        array, layout = as_sample(array), "N" + layout
    return channels_first(array, layout)
