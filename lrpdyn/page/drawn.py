"""The figures that a page shows as they are: PNGs within it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lrpdyn.files.names import short_name
from lrpdyn.run.faithfulness_curves import DRAWN, faithfulness_curves
from lrpdyn.run.feature_curves import feature_curves
from lrpdyn.run.layer_curves import layer_curves
from lrpdyn.run.layout import FEATURES, LAYERS
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.training_curve import Curve


@dataclass(frozen=True, kw_only=True)
class DrawnFigure:
    """A PNG as a data URL, and what it shows in words."""

    url: str
    words: str


#: So many of the strongest features are read out where the picture is not seen.
_READ_OUT = 5


def features_figure(run: RunFolder) -> DrawnFigure | None:
    """Return the figure `features` of a run; None where it has no features.csv, or nothing in it.

    Raises
    ------
    RunError
        The file cannot be read.
    """
    if FEATURES not in run.manifest.get("files", {}):
        return None
    if not np.isfinite(run.features["share"]).any():
        return None
    from lrpdyn.figures.canvas.look import Look
    from lrpdyn.figures.drawings.features import draw_features, percent
    from lrpdyn.figures.run_data import about_of

    curves, about = feature_curves(run), about_of(run)
    strongest = zip(curves.features[:_READ_OUT], curves.shares[-1], strict=False)
    ranked = ", ".join(
        f"{short_name(about.names, 'features', feature)} {percent(share)}"
        for feature, share in strongest
    )
    return _drawn(
        lambda path: draw_features(path, curves, about=about, look=Look(dpi=144)),
        f"Share of the relevance of {len(curves.features)} features over training. Largest at the last "
        f"step: {ranked}.",
    )


def layers_figure(run: RunFolder) -> DrawnFigure | None:
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
    from lrpdyn.figures.run_data import about_of

    titles = "; ".join(curves.drawn.values())
    return _drawn(
        lambda path: draw_layers(path, curves, about=about_of(run), look=Look(dpi=144)),
        f"Curves over training of {len(curves.layers)} layers: {titles}.",
    )


def trust_figure(run: RunFolder, curve: Curve | None) -> DrawnFigure | None:
    """Return the figure `trust` of a run; None where nothing of it could be measured.

    Raises
    ------
    RunError
        faithfulness.csv cannot be read.
    """
    if not (run.manifest["checks"].get("faithfulness") or {}).get("steps"):
        return None
    curves = faithfulness_curves(run)
    if not np.isfinite(curves.rule).any():
        return None
    from lrpdyn.figures.canvas.look import Look
    from lrpdyn.figures.drawings.trust import draw_trust
    from lrpdyn.figures.run_data import about_of

    others = ", ".join(DRAWN[name] for name in curves.others)
    return _drawn(
        lambda path: draw_trust(
            path, curves, steps=run.steps, about=about_of(run), curve=curve, look=Look(dpi=144)
        ),
        f"Faithfulness of the maps over training, next to that of: {others}, random orders.",
    )


def _drawn(draw: Callable[[Path], None], words: str) -> DrawnFigure:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "figure.png"
        draw(path)
        content = base64.b64encode(path.read_bytes()).decode()
    return DrawnFigure(url=f"data:image/png;base64,{content}", words=words)
