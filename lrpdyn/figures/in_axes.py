"""One panel of a run, drawn into axes of the user's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas import features, maps, style
from lrpdyn.figures.canvas.curve_axes import tidy
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.drawings.raster import largest_of_neighbours, raster_of
from lrpdyn.figures.request import Request
from lrpdyn.figures.run_data import about_of, flags_of, maps_of
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series

_MOST_BARS, _MOST_CELLS = 16, 512


def draw_in_axes(axes: Axes, run: RunFolder, kind: str, request: Request) -> None:
    """Draw the main panel of a kind of figure; the axes keep their place, size and font.

    Raises
    ------
    UsageError
        The kind has no panel that can stand alone, or more than one sample or step is requested.
    """
    if kind not in _PANELS:
        raise UsageError(
            f"plot({kind!r}, ax=...): has no panel that can stand alone; leave out ax for the whole "
            f"figure, or draw {', '.join(_PANELS)}"
        )
    _PANELS[kind](axes, run, request)


def _dynamics(axes: Axes, run: RunFolder, request: Request) -> None:
    sample = _one("sample", request.samples, 0)
    moved = run.mapped("dynamics")[sample]
    scale = maps.scale_of("dynamics", _summed(moved), request.look, signed=False)
    _map(axes, moved, scale, run, sample)
    axes.set_title(f"dynamics, {about_of(run).sample(sample)}")


def _relevance(axes: Axes, run: RunFolder, request: Request) -> None:
    sample = _one("sample", request.samples, 0)
    step = _one("steps", request.steps, run.steps[-1])
    values = np.asarray(maps_of(run, sample)(step))
    scale = maps.scale_of("relevance", _summed(values), request.look, signed=True)
    _map(axes, values, scale, run, sample)
    axes.set_title(f"relevance, {about_of(run).sample(sample)}, step {step:,}")


def _raster(axes: Axes, run: RunFolder, request: Request) -> None:
    change, ends, samples, _ = raster_of(run, request.samples)
    along, across = (-(-size // _MOST_CELLS) for size in change.shape)
    shown = largest_of_neighbours(change, along, across)
    scale = maps.scale_of("change", change, request.look, signed=False)
    # Columns are transitions, of equal width, whatever lies between their steps.
    _show(axes, shown.T, scale, (0, len(shown) * along, shown.shape[1] * across, 0))
    axes.set(aspect="auto", xlim=(0, len(ends)), ylim=(len(samples), 0))
    axes.set_title("change of each sample in each transition")
    axes.set(xlabel=f"transition ({scale.note})", ylabel="sample")
    named = range(0, len(samples), -(-len(samples) // _MOST_BARS))
    axes.set_yticks([row + 0.5 for row in named], labels=[str(samples[row]) for row in named])


def _trajectory(axes: Axes, run: RunFolder, request: Request) -> None:
    series = table_series(run, request.samples)
    steps, change = series.steps, series.curves()["change"]
    axes.plot(steps, change, ".-", color=style.LINE_COLOURS[0])
    samples = request.samples or ()
    flags = flags_of(run.outliers, samples[0] if len(samples) == 1 else None)
    before, after = series.ends()
    at = np.isin(steps, after[np.isin(before, list(flags.transitions))])
    if at.any():
        axes.plot(steps[at], change[at], "o", fillstyle="none", color=style.FLAGGED)
    tidy(axes, float(axes.xaxis.label.get_fontsize()), across=4, down=4)
    axes.set_title(f"change into the step{series.typical}")
    axes.set_xlabel(run.manifest["unit"])


_PANELS: dict[str, Callable[[Axes, RunFolder, Request], None]] = {
    "dynamics": _dynamics,
    "filmstrip": _relevance,
    "trajectory": _trajectory,
    "raster": _raster,
}


def _one(name: str, requested: object, default: int) -> int:
    """Return the one sample or step that is requested."""
    found = [default] if requested is None else list(requested)  # type: ignore[call-overload]
    if len(found) != 1:
        raise UsageError(f"plot({name}={found}, ax=...): axes have room for one; give one")
    return int(found[0])


def _summed(values: Array) -> Array:
    return style.sum_channels(values) if values.ndim == 3 else values.astype(np.float64)


def _map(axes: Axes, values: Array, scale: maps.Scale, run: RunFolder, sample: int) -> None:
    """Draw a map (C, H, W) or (H, W) as a picture, or (F,) as bars of its strongest features."""
    summed = _summed(values)
    if summed.ndim == 2:
        _show(axes, summed, scale, None)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    strongest = features.largest_features(np.abs(summed), _MOST_BARS)
    axes.barh(np.arange(len(strongest)), summed[strongest], color=style.LINE_COLOURS[0])
    observation, names = run.mapped("observations")[sample], about_of(run).names
    labels = features.feature_names(strongest, observation, names)
    axes.set_yticks(np.arange(len(strongest)), labels=labels)
    axes.invert_yaxis()
    if len(strongest) < len(summed):
        axes.set_xlabel(f"{len(strongest)} strongest of {len(summed):,} features")


def _show(
    axes: Axes, values: Array, scale: maps.Scale, extent: tuple[float, float, float, float] | None
) -> None:
    """Draw (H, W) values in the colours of a scale, and say below it how far it reaches."""
    axes.imshow(
        np.ma.masked_invalid(values),
        cmap=style.colour_map(scale.colours),
        norm=Normalize(scale.low, scale.limit),
        interpolation="nearest",
        extent=extent,
    )
    axes.set_xlabel(scale.note)
