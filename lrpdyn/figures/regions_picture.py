"""The regions of observations, each in a colour, for a person to check."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.files.atomic import whole_file
from lrpdyn.files.streamed import Samples
from lrpdyn.observations.regions import Regions

#: So many observations are drawn.
PICTURES = 4


def draw_regions(observations: Samples, regions: Regions, path: Path) -> None:
    """Draw the last frame of a few observations (N, ..., H, W), which show as many regions as can be.

    Raises
    ------
    RunError
        The file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    from lrpdyn.figures.canvas import saving

    colours = [
        colorsys.hsv_to_rgb(0.381966 * number % 1, 0.9, 1) for number in range(len(regions.names))
    ]
    chosen = _telling(regions, observations.shape)
    whole = regions.masks.shape[1] == 1
    with saving.own_settings():
        figure = Figure(figsize=(3 * len(chosen), 3.2 + 0.22 * -(-len(colours) // 4)), dpi=150)
        figure.set_layout_engine("constrained")
        for axes, sample in zip(
            np.atleast_1d(figure.subplots(1, len(chosen))), chosen, strict=True
        ):
            shown = _grey(observations[sample : sample + 1][0])[..., None].repeat(3, axis=2) * 0.6
            for number, colour in enumerate(colours):
                mask = regions.masks[number, 0 if whole else sample]
                inside = np.broadcast_to(mask, observations.shape[1:]).reshape(
                    -1, *shown.shape[:2]
                )[-1]
                shown[inside] = 0.3 * shown[inside] + 0.7 * np.array(colour)
            axes.imshow(shown, interpolation="nearest")
            axes.set_title(f"observation {sample}", fontsize=9)
            axes.set_axis_off()
        patches = [
            Patch(color=colour, label=name)
            for colour, name in zip(colours, regions.names, strict=True)
        ]
        figure.legend(
            handles=patches, loc="outside lower center", ncols=4, fontsize=8, frameon=False
        )
        # A picture to check masks by says nothing of a run: it has no caption.
        with whole_file(path, "wb") as file:
            figure.savefig(file, dpi=figure.dpi, format="png", metadata=saving.METADATA[".png"])


def _grey(observation: NDArray[Any]) -> NDArray[np.float64]:
    """Return the last frame (H, W) of an observation, from 0 to 1."""
    frame = observation.reshape(-1, *observation.shape[-2:])[-1].astype(np.float64)
    low, high = frame.min(), frame.max()
    grey: NDArray[np.float64] = (frame - low) / (high - low if high > low else 1.0)
    return grey


def _telling(regions: Regions, shape: tuple[int, ...]) -> list[int]:
    """Return samples of which each shows most of the regions that those before it do not, in order."""
    masks = regions.masks.reshape(*regions.masks.shape[:2], -1, *shape[-2:])[:, :, -1]
    shown = np.broadcast_to(masks.any(axis=(2, 3)), (len(regions.names), shape[0]))
    chosen: list[int] = []
    for _ in range(min(PICTURES, shape[0])):
        news = (shown & ~shown[:, chosen].any(axis=1, keepdims=True)).sum(axis=0)
        news[chosen] = -1
        chosen.append(int(news.argmax()))
    return sorted(chosen)
