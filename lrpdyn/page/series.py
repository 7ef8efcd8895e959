"""What the curves of a page show: a value for each step and sample, or one for all samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.measures import pixels
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series
from lrpdyn.run.training_curve import Curve

Floats = NDArray[np.float64]

#: Regions that have curves; the tables of the run have all of them.
MOST_REGIONS = 6


@dataclass(frozen=True, kw_only=True)
class Series:
    """One curve a sample over all steps that have relevance.

    `name` is the column of the table that it is from, `title` what it is, and in what unit;
    `values` are (S, samples of the page), NaN where there is none.
    """

    name: str
    title: str
    values: Floats


def series_of(run: RunFolder, samples: Sequence[int], curve: Curve | None) -> list[Series]:
    """Return what is drawn, from top to bottom; `curve` is the training curve, where one is given."""
    steps = np.array(run.steps, dtype=np.int64)
    normalised = run.manifest["normalize"]
    unit = "score" if normalised == "none" else normalised

    tables = table_series(run)
    # Of tables by step; a card shows the numbers of its sample, which these are not.
    suffix = tables.typical if tables.replaced_rows else ""

    shape: Any = pixels(run.observations[:1]).shape[1:]
    what = "features" if len(shape) == 1 else "pixels"
    drawn = [
        (tables.of_steps, "score", "Score that is explained"),
        (tables.of_transitions, "change", f"Change into the step (unit: {unit})"),
        (tables.of_transitions, "prediction_change", "Change of the prediction"),
        (tables.of_transitions, "shape_share", "Share of the change that is shape"),
        (tables.of_steps, "entropy", f"Entropy over {what} (at most {np.log(np.prod(shape)):.3g})"),
        (tables.of_steps, "distance_from_first_l1", "Distance from the first map (at most 2)"),
    ]
    for begin, words in (("share_per_random_", "Share of |R| over that of random networks"),
                         ("effect_", "Effect of painting over")):  # fmt: skip
        names = tables.region_columns(begin)[:MOST_REGIONS]
        drawn += [(tables.of_steps, n, f"{words}: {n.removeprefix(begin)}") for n in names]
    found = []
    if curve is not None:
        values = np.repeat(curve.at(steps)[:, None], len(samples), axis=1)
        title = f"Training curve: {curve.source}"
        found.append(Series(name="training", title=title, values=values))
    found += [
        Series(name=tables.column(name), title=f"{title}{suffix}", values=of(name, samples))
        for of, name, title in drawn
    ]
    places = np.searchsorted(tables.steps, steps)
    churn = np.repeat(tables.churn()[places][:, None], len(samples), axis=1)
    title = "Share whose preferred unit changed"
    found.append(Series(name="churn", title=title, values=churn))
    return [one for one in found if np.isfinite(one.values).any()]
