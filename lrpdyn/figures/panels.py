"""The panels of a run's trajectory: each a series over its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lrpdyn.figures.drawings.trajectory import Marks, Panel
from lrpdyn.figures.flags import flags_of
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import TableSeries, table_series
from lrpdyn.run.training_curve import Curve

Floats = NDArray[np.float64]
#: Units that are drawn, at most.
MOST_UNITS = 7


def panels_of(run: RunFolder, samples: Sequence[int] | None, curve: Curve | None) -> list[Panel]:
    """Return what is known over the steps of a run, of some samples or of all.

    The training curve where it is given; regions, where the run has any; score and preferred unit;
    change of the relevance next to that of the prediction; distance from the first map; entropy; what
    the maps depend on; checks.

    Raises
    ------
    RunError
        Some samples are requested, and the tables of the run are by step.
    """
    series = table_series(run, samples)
    steps, curves = series.steps, series.curves()
    flagged = _flagged_ends(run, samples)
    found = []
    if curve is not None:
        found.append(
            Panel(title=f"training curve: {curve.source}", steps=steps, lines={"": curve.at(steps)})
        )
    for begin, title in (
        ("share_per_random_", "share of |R| in each region, over that of random networks"),
        ("effect_", "effect of painting the region over, on the prediction"),
    ):
        lines = {n.removeprefix(begin): v for n, v in curves.items() if n.startswith(begin)}
        found.append(Panel(title=title, steps=steps, lines=lines))
    found += [_score(series), _units(series)]
    found.append(
        Panel(
            title=f"change into the step{series.typical}",
            steps=steps,
            lines={"relevance, sum of |R_i - R_i+1|": curves["change"]},
            marked=np.flatnonzero(np.isin(steps, flagged)).tolist(),
            right={"prediction (right)": curves["prediction_change"]},
        )
    )
    found.append(
        Panel(
            title=f"distance from the first map, sum of |R_i - R_0|{series.average}",
            steps=steps,
            lines={"": series.mean("distance_from_first")},
        )
    )
    found.append(
        Panel(
            title=f"entropy of |R|, nats{series.average}",
            steps=steps,
            lines={"this run": curves["entropy"], "random networks": series.mean("entropy_random")},
        )
    )
    found.append(_dependence(run))
    found.append(_checks(series))
    return [panel for panel in map(_known, found) if panel.lines]


def marks_of(run: RunFolder, samples: Sequence[int] | None) -> Marks:
    """Return phases, flagged transitions and pathologies of a run, for some samples or all."""
    phases = run.outliers.get("phases") or {"borders": [], "why": "not looked for"}
    sample = samples[0] if samples is not None and len(samples) == 1 else None
    borders = [border["step"] for border in phases["borders"]]
    wrong = sorted(flags_of(run.outliers, sample).steps)
    return Marks(
        borders=borders, flagged=_flagged_ends(run, samples), wrong=wrong, note=phases["why"]
    )


def _flagged_ends(run: RunFolder, samples: Sequence[int] | None) -> list[int]:
    """Return the steps that flagged transitions lead to: of all samples, or of the only one."""
    sample = samples[0] if samples is not None and len(samples) == 1 else None
    begins = set(flags_of(run.outliers, sample).transitions)
    pairs = zip(*(steps.tolist() for steps in table_series(run).ends()), strict=True)
    return sorted({after for before, after in pairs if before in begins})


def _known(panel: Panel) -> Panel:
    """Leave out lines that hold no number."""
    lines = {name: values for name, values in panel.lines.items() if np.isfinite(values).any()}
    right = {name: values for name, values in panel.right.items() if np.isfinite(values).any()}
    return replace(panel, lines=lines, right=right, marked=panel.marked if lines else ())


def _score(series: TableSeries) -> Panel:
    title = f"score{series.typical}{series.shaded}"
    return Panel(
        title=title,
        steps=series.steps,
        lines={"": series.median("score")},
        band=series.band("score"),
    )


def _units(series: TableSeries) -> Panel:
    """Return the share of samples that prefer each unit; else the preferred unit."""
    shares = series.shares_of_units()
    if shares is not None:
        drawn = sorted(list(shares)[:MOST_UNITS])
        left_out = (
            f", the {len(drawn)} of {len(shares)} most preferred"
            if len(shares) > len(drawn)
            else ""
        )
        title = f"share of samples that prefer a unit{left_out}"
        return Panel(
            title=title, steps=series.steps, lines={f"unit {unit}": shares[unit] for unit in drawn}
        )
    unit, share = series.preferred_unit()
    if share is None:
        return Panel(title="preferred unit", steps=series.steps, lines={"": unit}, stepwise=True)
    return Panel(
        title="most common of the preferred units",
        steps=series.steps,
        lines={"unit": unit},
        right={"share of samples (right)": share},
        stepwise=True,
    )


def _dependence(run: RunFolder) -> Panel:
    """Return how alike the maps are to those that they should not be alike to."""
    checked = run.manifest["checks"].get("dependence") or []
    names = {
        "random": "to random networks",
        "random_to_random": "random to random",
        "best_to_worst": "to the worst unit",
        "upper_layers": "to new upper layers",
    }
    lines = {
        name: np.array([_number(entry[key]["median"]) for entry in checked])
        for key, name in names.items()
    }
    steps = np.array([entry["step"] for entry in checked], dtype=np.int64)
    return Panel(
        title="what the maps depend on: cosine, first, middle and last step",
        steps=steps,
        lines=lines,
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _checks(series: TableSeries) -> Panel:
    known = series.relevance_to_score()
    lines = {} if known is None else {"sum(R) / score": known[0]}
    right = {} if known is None else {"sum|R| / |score| (right)": known[1]}
    title = f"checks: relevance for each unit of the score{series.typical}"
    return Panel(title=title, steps=series.steps, lines=lines, right=right)
