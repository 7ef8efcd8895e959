"""What the curves of a page show: a value for each step and sample, or one for all samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.measures import pixels
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.tables import Table, medians_in
from lrpdyn.run.training_curve import Curve

Floats = NDArray[np.float64]

#: Regions that have curves; the tables of the run have all of them.
MOST_REGIONS = 6


@dataclass(frozen=True)
class Series:
    """One curve a sample over all steps that have relevance.

    Attributes
    ----------
    name
        The column of the table that it is from.
    title
        What it is, and in what unit.
    values
        (S, samples of the page), NaN where there is none.
    """

    name: str
    title: str
    values: Floats


def series_of(run: RunFolder, samples: Sequence[int], curve: Curve | None) -> list[Series]:
    """Return what is drawn, from top to bottom; `curve` is the training curve, where one is given."""
    steps = np.array(run.steps, dtype=np.int64)
    normalised = run.manifest["normalize"]
    unit = "score" if normalised == "none" else normalised

    def of(table: Table, key: str, name: str, title: str) -> Series:
        if run.by_step:
            # Under a name of its own: a card shows the numbers of its sample, which these are not.
            name, title = f"{name}_median", f"{title}, median over samples"
        return Series(name, title, _columns(table, key, name, steps, samples))

    def of_step(name: str, title: str) -> Series:
        return of(run.metrics, "step", name, title)

    def of_transition(name: str, title: str) -> Series:
        return of(run.transitions, "to_step", name, title)

    found = [] if curve is None else [_training(curve, steps, len(samples))]
    found += [
        of_step("score", "Score that is explained"),
        of_transition("change", f"Change into the step (unit: {unit})"),
        of_transition("prediction_change", "Change of the prediction"),
        of_transition("shape_share", "Share of the change that is shape"),
        of_step("entropy", _entropy_title(run)),
        of_step("distance_from_first_l1", "Distance from the first map (at most 2)"),
    ]
    columns = run.metrics.dtype.names or ()
    for begin, words in (("share_per_random_", "Share of |R| over that of random networks"),
                         ("effect_", "Effect of painting over")):  # fmt: skip
        known = medians_in(columns) if run.by_step else columns
        names = [name for name in known if name.startswith(begin)][:MOST_REGIONS]
        found += [of_step(n, f"{words}: {n.removeprefix(begin)}") for n in names]
    return [one for one in found if np.isfinite(one.values).any()]


def units_of(run: RunFolder, samples: Sequence[int]) -> NDArray[np.int64]:
    """Return the unit that is explained, by step and sample (S, samples of the page).

    -1 where it is not known: it is held by no one, and the tables are by step.
    """
    steps = np.array(run.steps, dtype=np.int64)
    if not run.by_step:
        return _columns(run.metrics, "step", "target", steps, samples).astype(np.int64)
    held = run.manifest["target"].get("values")
    units = [-1 if held is None else held[sample] for sample in samples]
    return np.tile(np.array(units, dtype=np.int64), (len(steps), 1))


def _columns(
    table: Table, key: str, name: str, steps: NDArray[np.int64], samples: Sequence[int]
) -> Floats:
    """Return one column of a table by step and sample; NaN where it has no row.

    What a table by step has is the same for all samples.
    """
    found = np.full((len(steps), len(samples)), np.nan)
    place = np.searchsorted(steps, table[key])
    there = place < len(steps)
    there[there] = steps[place[there]] == table[key][there]
    by_step = "sample" not in (table.dtype.names or ())
    for i, sample in enumerate(samples):
        rows = there if by_step else there & (table["sample"] == sample)
        found[place[rows], i] = table[name][rows]
    return found


def _training(curve: Curve, steps: NDArray[np.int64], samples: int) -> Series:
    values = np.repeat(curve.at(steps)[:, None], samples, axis=1)
    return Series("training", f"Training curve: {curve.source}", values)


def _entropy_title(run: RunFolder) -> str:
    shape: Any = pixels(run.observations[:1]).shape[1:]
    what = "features" if len(shape) == 1 else "pixels"
    return f"Entropy over {what} (at most {np.log(np.prod(shape)):.3g})"
