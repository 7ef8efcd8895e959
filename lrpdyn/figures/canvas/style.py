"""What the figures share: colours and their scales, and observations as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import Colormap
from numpy.typing import NDArray

Array = NDArray[Any]

# Okabe and Ito 2008; then dashed, then dotted.
LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
LINE_STYLES = ("-", "--", ":")
FLAGGED = "#d55e00"
CLIP_QUANTILE = 0.999
CLIP_ABOVE = 2.0
NOT_FINITE_COLOUR = "#7f9f7f"


@dataclass(frozen=True, kw_only=True)
class ColourScale:
    """Colours run from 0 (or from -limit) to limit; the note says so in words."""

    limit: float
    clipped: bool
    note: str


def colour_scale(values: Array) -> ColourScale:
    """One scale for all values, clipped where a few would hide the rest.

    The values have any shape, signed or not; what is not finite is ignored. The limit is the
    largest size, or the 99.9 % quantile of the sizes where the largest is more than twice that; 1
    where all is zero.
    """
    finite = np.isfinite(values)
    sizes = np.abs(values[finite]).astype(np.float64)
    missing = int(values.size - sizes.size)
    ending = f", {missing:,} not finite (green)" if missing else ""
    largest = float(sizes.max(initial=0.0))
    if largest == 0:
        return ColourScale(limit=1.0, clipped=False, note="all values are zero" + ending)
    quantile = float(np.quantile(sizes, CLIP_QUANTILE))
    if 0 < quantile * CLIP_ABOVE < largest:
        note = f"clipped at the 99.9 % quantile, {quantile:.3g}, the largest is {largest:.3g}"
        return ColourScale(limit=quantile, clipped=True, note=note + ending)
    return ColourScale(
        limit=largest, clipped=False, note=f"not clipped, the largest is {largest:.3g}" + ending
    )


def sum_channels(values: Array) -> Array:
    """Sum (..., C, H, W) over channels to (..., H, W), in float64."""
    summed: Array = np.asarray(values, dtype=np.float64).sum(axis=-3)
    return summed


def displayed_observations(observations: Array) -> Array:
    """Turn (N, C, H, W) into pictures in [0, 1]: (N, H, W, 3) for three channels, else (N, H, W).

    Stacks of frames show their last channel, the newest frame. Grey is stretched over the range of
    all samples; colours only where they leave [0, 1], so that true colours stay true.
    """
    coloured = observations.shape[1] == 3
    shown = np.moveaxis(observations, 1, -1) if coloured else observations[:, -1]
    shown = np.nan_to_num(shown.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(shown.min()), float(shown.max())
    if coloured and low >= 0 and high <= 1:
        return shown
    if low == high:
        return np.full_like(shown, 0.5)
    return np.asarray((shown - low) / (high - low))


def channel_note(channels: int) -> str:
    """Say which part of an observation with this many channels is shown."""
    if channels == 1:
        return "observation in grey"
    if channels == 3:
        return "observation: 3 channels as red, green, blue"
    return f"observation: last of {channels} channels"


def colour_map(name: str) -> Colormap:
    """Return a colour map with a separate colour for what is not finite."""
    return matplotlib.colormaps[name].with_extremes(bad=NOT_FINITE_COLOUR)
