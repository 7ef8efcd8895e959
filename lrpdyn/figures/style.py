"""What the figures share: colours and their scales, labels, and saving."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from lrpdyn.errors import UsageError
from lrpdyn.figures import layout
from lrpdyn.files import whole_file

Array = NDArray[Any]

# Both are told apart with any colour vision, and one unit looks like the next along the first.
COLOURS, SIGNED_COLOURS = "inferno", "RdBu_r"
CLIP_QUANTILE = 0.999
CLIP_ABOVE = 2.0
NOT_FINITE_COLOUR = "#7f9f7f"
# A PNG names its software and a PDF the time: neither belongs in equal bytes.
METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None},
}


@dataclass(frozen=True)
class ColourScale:
    """Colours run from 0 (or from -limit) to limit; the note says so in words."""

    limit: float
    clipped: bool
    note: str


def colour_scale(values: Array) -> ColourScale:
    """One scale for all values, clipped where a few would hide the rest.

    Parameters
    ----------
    values
        Any shape, signed or not; what is not finite is left out.

    Returns
    -------
    ColourScale
        The limit is the largest size, or the 99.9 % quantile of the sizes where the largest is
        more than twice that; 1 where all is zero.
    """
    finite = np.isfinite(values)
    sizes = np.abs(values[finite]).astype(np.float64)
    missing = int(values.size - sizes.size)
    ending = f"; {missing:,} not finite (green)" if missing else ""
    largest = float(sizes.max(initial=0.0))
    if largest == 0:
        return ColourScale(1.0, False, "all values are zero" + ending)
    quantile = float(np.quantile(sizes, CLIP_QUANTILE))
    if 0 < quantile * CLIP_ABOVE < largest:
        note = f"clipped at the 99.9 % quantile, {quantile:.3g}; largest {largest:.3g}"
        return ColourScale(quantile, True, note + ending)
    return ColourScale(largest, False, f"not clipped, largest {largest:.3g}" + ending)


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


def step_labels(steps: Sequence[int]) -> list[str]:
    """Short labels, "12k" or "1.2M", with as many digits as keep different steps apart."""
    for digits in range(3, 20):
        labels = [_short_step(step, digits) for step in steps]
        if len(set(labels)) == len(set(steps)):
            return labels
    return [f"{step:,}" for step in steps]


def _short_step(step: int, digits: int) -> str:
    if step < 10_000:
        return f"{step:,}"
    rounded = round(step, digits - len(str(step)))
    sizes = {"B": 10**9, "M": 10**6, "k": 10**3}
    unit, size = next((unit, size) for unit, size in sizes.items() if rounded >= size)
    whole, rest = divmod(rounded, size)
    decimals = f"{rest:0{len(str(size)) - 1}d}".rstrip("0")
    return f"{whole:,}.{decimals}{unit}" if decimals else f"{whole:,}{unit}"


def transition_labels(labels: Sequence[str], width: float, em: float) -> list[list[str]]:
    """Label transitions "100k → 200k" from the labels of both ends, in two lines if one is wide.

    Parameters
    ----------
    labels
        First and second end of each transition in turn.
    width, em
        The room for each, and the size of the text, in pixels.
    """
    pairs = list(zip(labels[::2], labels[1::2], strict=True))
    if all(layout.text_width(f"{first} → {second}", em) <= width for first, second in pairs):
        return [[f"{first} → {second}"] for first, second in pairs]
    return [[first, f"→ {second}"] for first, second in pairs]


def log_ticks(low: float, high: float) -> list[float]:
    """Give at most six round numbers between low and high for a log axis, or both ends."""
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for digits, enough in (((1,), 3), ((1, 2, 5), 2), (range(1, 10), 2)):
        # Parsed, not multiplied: 5 * 10**-3 is not the number that reads .005.
        ticks = [float(f"{digit}e{exponent}") for exponent in exponents for digit in digits]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= enough:
            return inside[:: -(-len(inside) // 6)]
    return [low, high]


def count_of(steps: Sequence[int]) -> str:
    """Say how many checkpoints there are."""
    return f"{len(steps):,} checkpoints" if len(steps) > 1 else "1 checkpoint"


def span_of(steps: Sequence[int], unit: str) -> str:
    """Say the first and the last step."""
    return f"{unit} {steps[0]:,} to {steps[-1]:,}" if len(steps) > 1 else f"{unit} {steps[0]:,}"


def show_map(
    figure: Figure, axes: Axes, values: Array, colours: str, low: float, high: float
) -> None:
    """Draw (H, W) values, or an (H, W, 3) picture, without smoothing."""
    larger = max(values.shape[:2]) > layout.LARGEST_PANEL
    axes.imshow(
        np.ma.masked_invalid(values),
        cmap=colour_map(colours),
        vmin=low,
        vmax=high,
        # Nearest would drop elements where there are fewer pixels than elements.
        interpolation="hanning" if larger else "nearest",
        aspect="auto",
    )
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    _add_frame(figure, axes)


def _add_frame(figure: Figure, axes: Axes) -> None:
    # A spine would cover half of the outermost elements; this is one pixel around them.
    width, height = figure.bbox.size
    box = axes.get_position()
    figure.add_artist(
        Rectangle(
            (box.x0 - 1 / width, box.y0 - 1 / height),
            box.width + 2 / width,
            box.height + 2 / height,
            facecolor="0.6",
            zorder=-1,
        )
    )


def colour_map(name: str) -> Colormap:
    """Look up a colour map, with a colour of its own for what is not finite."""
    return matplotlib.colormaps[name].with_extremes(bad=NOT_FINITE_COLOUR)


def add_colour_bar(
    figure: Figure, axes: Axes, colours: str, scale: ColourScale, em: float, *, signed: bool
) -> None:
    """Fill axes with a lying colour bar whose ends and middle are labelled."""
    low = -scale.limit if signed else 0.0
    clipped_ends = "both" if signed else "max"
    bar = figure.colorbar(
        ScalarMappable(Normalize(low, scale.limit), colour_map(colours)),
        cax=axes,
        orientation="horizontal",
        extend=clipped_ends if scale.clipped else "neither",
    )
    ticks = [low, (low + scale.limit) / 2, scale.limit]
    bar.set_ticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
    bar.minorticks_off()
    axes.tick_params(
        labelsize=layout.points(em, figure.dpi), length=0.2 * layout.points(em, figure.dpi)
    )


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure whole or not at all, the same bytes each time.

    Raises
    ------
    UsageError
        The suffix is neither .png nor .pdf.
    RunError
        The file cannot be written.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in METADATA:
        known = " or ".join(METADATA)
        raise UsageError(f"figure {target}: expected a name ending in {known}, found {suffix!r}")
    with whole_file(target, "wb") as file:
        figure.savefig(file, dpi=figure.dpi, format=suffix[1:], metadata=METADATA[suffix])
