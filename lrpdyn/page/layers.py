"""The picture of the layers over training that a page shows."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lrpdyn.run.layer_curves import layer_curves
from lrpdyn.run.layout import LAYERS
from lrpdyn.run.reader import RunFolder


@dataclass(frozen=True, kw_only=True)
class LayersPicture:
    """A PNG as a data URL, and what it shows in words."""

    url: str
    words: str


def layers_picture(run: RunFolder) -> LayersPicture | None:
    """Return the figure `layers` of a run; None where the run has no layers.csv, or nothing in it.

    Raises
    ------
    RunError
        The file cannot be read.
    """
    if LAYERS not in run.manifest.get("files", {}):
        return None
    curves = layer_curves(run)
    if not curves.drawn:
        return None
    from lrpdyn.figures.canvas.look import Look
    from lrpdyn.figures.drawings.layers import draw_layers

    with TemporaryDirectory() as folder:
        path = Path(folder) / "layers.png"
        draw_layers(path, curves, unit=run.manifest["unit"], look=Look(dpi=144))
        content = base64.b64encode(path.read_bytes()).decode()
    titles = "; ".join(curves.drawn.values())
    words = f"Curves over training of {len(curves.layers)} layers: {titles}."
    return LayersPicture(url=f"data:image/png;base64,{content}", words=words)
