"""Which features of flat observations carry how much of the relevance, over training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas import features, layout, maps, saving, words
from lrpdyn.figures.canvas.look import PAGE, Look
from lrpdyn.figures.drawings.raster import LEAST_HEIGHT, add_steps
from lrpdyn.figures.request import Request
from lrpdyn.figures.run_data import about_of
from lrpdyn.files.names import short_name
from lrpdyn.run.feature_curves import FeatureCurves, feature_curves
from lrpdyn.run.reader import RunFolder

#: The height of a row in em, and the part of the width that names may have.
ROW, OF_NAMES = 1.6, 0.3
_LAST = "last"


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw a row a feature, the strongest at the last step on top."""
    (run,) = runs
    if len(run.shape) != 2:
        raise UsageError(
            f"--kind features: the observations are no flat ones (N, F), their shape is {run.shape}; see "
            "--kind dynamics"
        )
    draw_features(path, feature_curves(run), about=about_of(run), look=request.look)


@saving.own_settings()
def draw_features(path: Path, curves: FeatureCurves, *, about: words.About, look: Look) -> None:
    """Draw the share of each feature (rows) at each step (columns), and the last in numbers."""
    width, em = look.page(PAGE, PAGE)
    steps, shown = curves.steps.tolist(), len(curves.features)
    most = OF_NAMES * width / em
    names = [
        features.short_label(feature, short_name(about.names, "features", feature), most)
        for feature in curves.features
    ]
    numbers = [percent(share) for share in curves.shares[-1]]
    left = layout.widest(names, em) + 1.2 * em
    right = layout.widest([*numbers, _LAST], em) + 1.4 * em
    across = round(width - left - right)
    each = max(ROW, LEAST_HEIGHT / shown) * em
    down = round(each * shown)
    what = f"share of {words.SUM} {words.SIZE}, mean over samples"
    scale = maps.scale_of(what, curves.shares, look, signed=False)
    which = f"{shown} of {curves.count:,} features" if shown < curves.count else f"{shown} features"
    others = ""
    if shown < curves.count:
        first, last = (percent(curves.rest[place]) for place in (0, -1))
        others = f"the other {curves.count - shown:,} features: {first} at the first step, {last} at the last"
    caption = words.Caption(
        title="Which features the relevance lies on",
        line=[*about.line(steps), which],
        notes=[
            *about.notes(steps)[:2],
            scale.sentence,
            "The features are in the order of their share at the last step, which stands at the right.",
            *([f"{which}, those with the largest mean share; {others}."] if others else []),
        ],
    )
    heading = layout.wrap(scale.heading, width - 1.2 * em, em)
    below_map = layout.wrap(others, width - 1.2 * em, em) if others else []
    over = maps.bar_height(heading, em) + layout.LINE * em
    height = over + down + (4.6 + layout.LINE * len(below_map)) * em
    head = layout.header_of(caption, look, width, em, height / em)
    top = (0.9 + head.height) * em
    body = top + over
    figure = layout.new_figure(width, top + height, look.dpi)
    head.write(figure)
    maps.add_bar(figure, heading, scale, 0.6 * em, top, width - 1.2 * em, em)
    maps.show_map(figure, curves.shares.T, scale, left, body, across, down)
    layout.add_names(figure, left - 0.4 * em, body, each, names, em)
    end = width - 0.6 * em
    layout.add_names(figure, end, body, each, numbers, em)
    layout.add_text(figure, end, body - 1.3 * em, [_LAST], em, align="right")
    cell = across / len(steps)
    labels = words.narrow_labels(steps, about.unit)
    add_steps(figure, labels.texts, left + cell / 2, body + down, cell, em)
    unit = labels.note or about.unit
    # In the middle of the map, unless that is too far to the right, next to long names.
    middle = min(left + across / 2, width - 0.6 * em - layout.text_width(unit, em) / 2)
    below = body + down + 2.2 * em
    below = layout.add_text(figure, middle, below, [unit], em, align="center")
    layout.add_text(figure, 0.6 * em, below + 0.3 * em, below_map, em)
    saving.save_figure(figure, path, caption, look)


def percent(share: float) -> str:
    """Return a share in words.

    >>> percent(0.384), percent(0.00012), percent(0.0)
    ('38 %', '< 1 %', '0 %')
    """
    return "< 1 %" if 0 < share < 0.005 else f"{100 * np.round(share, 2):.0f} %"
