"""The order of the axes of observations, which follows from the network where the user gives none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.files.streamed import Streamed, as_sample, in_memory
from lrpdyn.observations.frames import channels_first, merged
from lrpdyn.observations.spaces import is_image, text_of


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The observations that the network takes.

    `channels` where it begins with a convolution, `features` (entries of one sample) where it
    begins with a Linear layer, which may take each place of a sequence on its own; `sequences` where
    the convolution has one dimension; `divisor` of uint8 and `range` as in
    `lrpdyn.architectures.model.Preprocessing`; `shape` of one sample, and the observation `space`
    (`lrpdyn.observations.spaces`), where the checkpoint has them; `name` of the explained input of
    several; `recurrent` where each sample may be a sequence of observations.
    """

    channels: int | None = None
    features: int | None = None
    sequences: bool = False
    divisor: float | None = None
    range: tuple[float, float] | None = None
    shape: tuple[int, ...] | None = None
    space: Mapping[str, Any] | None = None
    name: str | None = None
    recurrent: bool = False

    @property
    def depth(self) -> int | None:
        """The channels of a picture, None where that is not known."""
        if self.channels is None and self.shape is not None and len(self.shape) == 3:
            return self.shape[0]
        return self.channels

    @property
    def source(self) -> str:
        """The observation space in parentheses, for messages; empty where it is not known."""
        return "" if self.space is None else f" (observation space {text_of(self.space)})"

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether one sample, as it is arranged, may be of the checkpoint's space."""
        own = self.shape
        if own is None or shape in (own, (1, *own)):
            return True
        if self.recurrent and len(shape) > 1 and replace(self, recurrent=False).fits(shape[1:]):
            return True
        if self.channels is not None:
            return shape == (own[-1], *own[:-1])
        # The order of the entries of a picture that was flattened would not be known.
        picture = self.space is not None and is_image(self.space) and own[0] != 1
        return not picture and shape == (prod(own),)


def arrange(
    array: Streamed, where: str, expected: Expected, layout: str | None
) -> tuple[Streamed, str]:
    """Return the array as (N, C, H, W) or (N, F), and the layout that it had.

    Sequences (N, L, C), (N, C, L) and (N, T, F) stay as they are; of images, they become (N, T, C, H, W).

    Raises
    ------
    ObservationError
        Its shape does not fit the network, or may be read in several ways.
    UsageError
        It does not have the `layout` that was given, or the network takes no sequences.
    """
    in_time = expected.recurrent and array.shape[1] == 1
    stacked = layout in ("NKHWC", "NKCHW") or (layout is None and not in_time)
    if array.ndim == 5 and expected.channels is not None and stacked:
        stacks = merged(array, expected.channels)
        if stacks is not None and layout in (None, stacks[1]):
            return stacks
    if layout and layout.startswith("NT") and not expected.recurrent:
        raise UsageError(
            f"--layout {layout}: sequences are for recurrent networks, which this is not"
        )
    own = expected.shape
    if layout is None and own is not None and len(own) > 3 and array.shape[1:] == own:
        return array.changed((prod(own),), lambda piece: piece.reshape(len(piece), -1)), "NF"
    candidates = [layout] if layout else _fitting_layouts(array.shape, expected)
    if expected.recurrent and not candidates and array.ndim > 3:
        inner = _fitting_layouts((array.shape[0], *array.shape[2:]), expected)
        candidates = [f"NT{name[1:]}" for name in inner if name[0] == "N"]
    fits = {name: values for name in candidates if (values := _as_layout(array, name)) is not None}
    if layout and not fits:
        raise UsageError(f"--layout {layout}: {where} has {array.ndim} dimensions, {array.shape}")
    if not fits:
        takes = (
            f"{expected.channels} channels"
            if expected.channels is not None
            else f"{expected.features} entries for each {'time step' if expected.recurrent else 'sample'}"
        )
        raise ObservationError(
            f"{where}: shape {array.shape} does not fit the network, which takes {takes}{expected.source}; "
            f"{_way_out(array.shape, expected)}"
        )
    if len(fits) > 1:
        raise ObservationError(
            f"{where}: shape {array.shape} may be {' or '.join(fits)}; say which with --layout"
        )
    ((name, values),) = fits.items()
    return values, name


def _way_out(shape: tuple[int, ...], expected: Expected) -> str:
    count = expected.channels or 0
    pictures = len(shape) == 3 or (len(shape) == 4 and {shape[1], shape[3]} & {1, 3})
    if count not in (0, 1, 3) and pictures:
        return f"if these are single frames in their order, --stack {count} makes them stacks"
    return "give them as the environment of the training does, with its wrappers"


def _layouts_of_space(expected: Expected) -> dict[tuple[int, ...], str]:
    """Return the layouts of one sample by its shape, where the checkpoint's space says it."""
    own = expected.shape
    if own is None or len(own) > 3:
        return {}
    if len(own) < 3:
        return {own: "F" if len(own) == 1 else "TF" if expected.recurrent else "HW"}
    first, last = own, (*own[1:], own[0])
    if expected.channels not in (None, own[0]):  # written with the channels last
        first, last = (own[2], *own[:2]), own
    if expected.channels is None and expected.space is not None and not is_image(expected.space):
        return {own: "CHW"}  # no picture: the framework does not turn it round
    return {last: "HWC", first: "CHW"}


def _fitting_layouts(shape: tuple[int, ...], expected: Expected) -> list[str]:
    channels = expected.channels
    if expected.sequences:
        places = {"NCL": 1, "NLC": 2}
        return [n for n, place in places.items() if len(shape) == 3 and shape[place] == channels][
            :1
        ]
    if expected.recurrent and len(shape) == 3 and shape[2] == expected.features:
        return ["NTF"]
    known = _layouts_of_space(expected)
    if shape in known:
        return [known[shape]]
    if shape[1:] in known:
        return [f"N{known[shape[1:]]}"]
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
    if layout.startswith("NT"):
        return _sequences(array, f"N{layout[2:]}")
    if "N" not in layout:
        array, layout = as_sample(array), "N" + layout
    return channels_first(array, layout)


def _sequences(array: Streamed, layout: str) -> Streamed:
    """Return sequences of observations of a `layout`, (N, T, ...), each as it is arranged."""

    def arranged(piece: NDArray[Any]) -> NDArray[Any]:
        single = piece.reshape(-1, *piece.shape[2:])
        found = channels_first(in_memory(single), layout)[:]
        return found.reshape(*piece.shape[:2], *found.shape[1:])

    return array.changed(arranged(array[:1]).shape[1:], arranged)
