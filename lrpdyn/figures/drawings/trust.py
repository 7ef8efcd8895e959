"""Whether the maps can be trusted over training: their faithfulness next to what is cheaper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from lrpdyn.figures.canvas import layout, saving, style
from lrpdyn.figures.canvas.curve_axes import tidy
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.words import About
from lrpdyn.figures.request import Request
from lrpdyn.figures.run_data import about_of
from lrpdyn.run.faithfulness_curves import DRAWN, FaithfulnessCurves, faithfulness_curves
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.training_curve import Curve
from lrpdyn.run.trust import QUESTION

WIDTH, PANEL_HEIGHT, CURVE_HEIGHT = 7.2, 2.6, 1.0
#: Room left and right of the panels, and between them, in em.
LEFT, RIGHT, BELOW = 4.4, 1.2, 1.6
#: Room for the line and the gaps of an entry of the legend, in em.
ENTRY = 4.6
FEW_STEPS = 60
_RANDOM = "0.88"


def draw(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw the faithfulness of the rule and of the yardsticks, below the training curve."""
    (run,) = runs
    draw_trust(
        path,
        faithfulness_curves(run),
        steps=run.steps,
        about=about_of(run),
        curve=request.curve,
        look=request.look,
    )


@saving.own_settings()
def draw_trust(
    path: Path,
    curves: FaithfulnessCurves,
    *,
    steps: Sequence[int],
    about: About,
    curve: Curve | None,
    look: Look,
) -> None:
    """Draw the curves over the `steps` of a run."""
    em, width = layout.smallest_em(look.dpi), WIDTH * look.dpi
    left, inner = LEFT * em, width - (LEFT + RIGHT) * em
    limit, note = _limit(curves)
    measured = f"{len(curves.steps):,} of {len(steps):,} steps, {curves.samples:,} samples"
    head = layout.header_of(
        [
            QUESTION,
            f"rule {about.rule}; {about.question}",
            "faithfulness: how much more of the score is lost when the most relevant patches are taken away "
            f"first than when the least relevant are; medians, {measured}, {curves.taken_away}",
            *([note] if note else []),
        ],
        width,
        em,
    )
    names = [
        f"rule {about.rule}",
        "middle half of the samples",
        *(DRAWN[name] for name in curves.others),
    ]
    names.append("random orders, 5 to 95 %")
    columns = max(1, int(inner / (layout.widest(names, em) + ENTRY * em)))
    legend = -(-len(names) // columns) * layout.LINE * em
    height = PANEL_HEIGHT * look.dpi
    above = 0 if curve is None else CURVE_HEIGHT * look.dpi + (layout.LINE + BELOW) * em
    top = (0.9 + head.height) * em
    figure = layout.new_figure(width, top + above + legend + height + 5 * em, look.dpi)
    head.write(figure)
    points = layout.points(em, look.dpi)
    margin = 0.01 * (steps[-1] - steps[0]) or 0.5
    ends = steps[0] - margin, steps[-1] + margin
    if curve is not None:
        layout.add_text(figure, 0.6 * em, top, [f"training curve: {curve.source}"], em)
        panel = layout.add_panel(
            figure, left, top + layout.LINE * em, inner, CURVE_HEIGHT * look.dpi
        )
        inside = (curve.steps >= steps[0]) & (curve.steps <= steps[-1])
        panel.plot(curve.steps[inside], curve.values[inside], color="0.3", linewidth=1.0)
        tidy(panel, points, across=8, down=3)
        panel.set_xlim(*ends)
        panel.tick_params(labelbottom=False)
    key = layout.add_panel(figure, left, top + above, inner, legend)
    key.set_axis_off()
    axes = layout.add_panel(figure, left, top + above + legend + 0.6 * em, inner, height)
    handles = _draw(axes, curves)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -limit), min(high, limit))
    tidy(axes, points, across=8, down=6)
    axes.set_xlim(*ends)
    key.legend(
        handles, names, prop={"family": "DejaVu Sans", "size": points}, frameon=False, ncols=columns,
        loc="upper left", borderpad=0, borderaxespad=0, columnspacing=1.2, handlelength=2.2,
        labelspacing=0.2,
    )  # fmt: skip
    under = top + above + legend + height + 2.9 * em
    layout.add_text(figure, left + inner / 2, under, [about.unit], em, align="center")
    saving.save_figure(figure, path)


def _limit(curves: FaithfulnessCurves) -> tuple[float, str]:
    """Return where the axis ends, in both directions, and a sentence where anything lies beyond.

    Where the score hardly moves, as early in training, its range is a small divisor: without an end
    one such step would press all others flat.
    """
    drawn = np.abs([curves.rule, *curves.middle, *curves.random, *curves.others.values()])
    known = np.isfinite(drawn).any(axis=0)
    if not known.any():
        return np.inf, ""
    steps, largest = curves.steps[known], np.nanmax(drawn[:, known], axis=0)
    limit = style.CLIP_ABOVE * float(np.median(largest))
    beyond = largest > limit
    if limit == 0 or largest.max() <= style.CLIP_ABOVE * limit:  # it presses nothing flat
        return np.inf, ""
    where = f"{int(beyond.sum()):,} steps from" if beyond.sum() > 1 else "step"
    return limit, (
        f"the axis ends at {limit:.2g}: at {where} {steps[beyond][0]:,} values reach "
        f"{largest.max():.3g}"
    )


def _draw(axes: Axes, curves: FaithfulnessCurves) -> list[Artist]:
    """Draw the lines of the maps and the band of random orders; return the handles of the legend."""
    marker = "." if len(curves.steps) < FEW_STEPS else ""
    own, *colours = style.LINE_COLOURS
    axes.axhline(0, color="0.6", linewidth=0.6)
    axes.fill_between(curves.steps, *curves.random, color=_RANDOM, linewidth=0, zorder=0)
    axes.fill_between(curves.steps, *curves.middle, color=own, alpha=0.15, linewidth=0)
    handles: list[Artist] = [
        *axes.plot(
            curves.steps,
            curves.rule,
            color=own,
            linewidth=2.2,
            marker=marker,
            markersize=7,
            zorder=3,
        ),
        Patch(color=own, alpha=0.15, linewidth=0),
    ]
    colour_of = {"rule_absolute": own, **dict(zip(list(DRAWN)[1:], colours, strict=False))}
    for name, values in curves.others.items():
        line = ":" if name == "rule_absolute" else "-"
        handles += axes.plot(
            curves.steps,
            values,
            line,
            color=colour_of[name],
            linewidth=0.9,
            marker=marker,
            markersize=3,
        )
    return [*handles, Patch(color=_RANDOM, linewidth=0)]
