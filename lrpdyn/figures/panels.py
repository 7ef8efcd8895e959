"""The panels of a run's trajectory: each a series over its steps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrpdyn.figures.drawings.trajectory import Marks, Panel
from lrpdyn.figures.flags import flags_of
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import over_samples, series_of
from lrpdyn.run.tables import Table
from lrpdyn.run.training_curve import Curve

Floats = NDArray[np.float64]
#: Units that are drawn, at most.
MOST_UNITS = 7
BAND = (5, 95)


def panels_of(run: RunFolder, samples: Sequence[int] | None, curve: Curve | None) -> list[Panel]:
    """Return what is known over the steps of a run, of some samples or of all.

    The training curve where it is given; regions, where the run has any; score and preferred unit;
    change of the relevance beside that of the prediction; distance from the first map; entropy; what
    the maps depend on; checks.

    Raises
    ------
    RunError
        Some samples are asked for, and the tables of the run are by step.
    """
    steps, series = series_of(run, samples)
    drawn = _of_steps(run, steps) if run.by_step else _of_samples(run, samples, steps)
    flagged = _flagged_ends(run, samples)
    found = []
    if curve is not None:
        found.append(Panel(f"training curve: {curve.source}", steps, {"": curve.at(steps)}))
    for begin, title in (
        ("share_per_random_", "share of |R| in each region, over that of random networks"),
        ("effect_", "effect of painting the region over, on the prediction"),
    ):
        lines = {n.removeprefix(begin): v for n, v in series.items() if n.startswith(begin)}
        found.append(Panel(title, steps, lines))
    found += [drawn.score, drawn.units]
    found.append(
        Panel(
            f"change into the step{drawn.typical}",
            steps,
            {"relevance, sum of |R_i - R_i+1|": series["change"]},
            np.flatnonzero(np.isin(steps, flagged)).tolist(),
            right={"prediction (right)": series["prediction_change"]},
        )
    )
    found.append(
        Panel(
            f"distance from the first map, sum of |R_i - R_0|{drawn.mean}",
            steps,
            {"": drawn.distance},
        )
    )
    found.append(
        Panel(
            f"entropy of |R|, nats{drawn.mean}",
            steps,
            {"this run": series["entropy"], "random networks": drawn.entropy_random},
        )
    )
    found.append(_dependence(run))
    found += drawn.checks
    return [panel for panel in map(_known, found) if panel.lines]


@dataclass(frozen=True)
class _Drawn:
    """What is drawn of metrics.csv; `typical` and `mean` say what values over samples are."""

    score: Panel
    units: Panel
    distance: Floats
    entropy_random: Floats
    checks: list[Panel]
    typical: str
    mean: str


def _of_samples(run: RunFolder, samples: Sequence[int] | None, steps: NDArray[np.int64]) -> _Drawn:
    metrics = _of(run.metrics, samples)
    places = np.searchsorted(steps, metrics["step"])

    def each(of: Callable[[Floats], Floats], values: Floats) -> Floats:
        return over_samples(of, values, places, len(steps))

    one = len(np.unique(metrics["sample"])) == 1
    typical = "" if one else ", median over samples"
    band = "" if one else "; shaded: 5 to 95 % of samples"
    score = metrics["score"]
    low, high = (each(functools.partial(np.percentile, q=q), score) for q in BAND)
    return _Drawn(
        Panel(
            f"score{typical}{band}",
            steps,
            {"": each(np.median, score)},
            band=None if one else (low, high),
        ),
        _units(steps, metrics, places, one=one),
        each(np.mean, metrics["distance_from_first"]),
        each(np.mean, metrics["entropy_random"]),
        [_checks(steps, metrics, each, typical)],
        typical,
        "" if one else ", mean over samples",
    )


def _of_steps(run: RunFolder, steps: NDArray[np.int64]) -> _Drawn:
    """Return what tables by step tell; sums over scores they do not, which are of each sample."""
    metrics, typical = run.metrics, ", median over samples"
    preferred = metrics["argmax_most_common"]
    units = Panel(
        "most common of the preferred units",
        steps,
        {"unit": np.where(preferred < 0, np.nan, preferred)},
        right={"share of samples (right)": metrics["argmax_most_common_share"]},
        stepwise=True,
    )
    score = Panel(
        f"score{typical}; shaded: least to most",
        steps,
        {"": metrics["score_median"]},
        band=(metrics["score_least"], metrics["score_most"]),
    )
    distance, entropy = metrics["distance_from_first_median"], metrics["entropy_random_median"]
    return _Drawn(score, units, distance, entropy, [], typical, typical)


def marks_of(run: RunFolder, samples: Sequence[int] | None) -> Marks:
    """Return phases, flagged transitions and pathologies of a run, for some samples or all."""
    phases = run.outliers.get("phases") or {"borders": [], "why": "not looked for"}
    sample = samples[0] if samples is not None and len(samples) == 1 else None
    borders = [border["step"] for border in phases["borders"]]
    wrong = sorted(flags_of(run.outliers, sample).steps)
    return Marks(borders, _flagged_ends(run, samples), wrong, phases["why"])


def _flagged_ends(run: RunFolder, samples: Sequence[int] | None) -> list[int]:
    """Return the steps that flagged transitions lead to: of all samples, or of the only one."""
    sample = samples[0] if samples is not None and len(samples) == 1 else None
    begins = set(flags_of(run.outliers, sample).transitions)
    table = run.transitions
    pairs = zip(table["from_step"].tolist(), table["to_step"].tolist(), strict=True)
    return sorted({after for before, after in pairs if before in begins})


def _of(table: Table, samples: Sequence[int] | None) -> Table:
    return table if samples is None else table[np.isin(table["sample"], list(samples))].view(Table)


def _known(panel: Panel) -> Panel:
    """Leave out lines that hold no number."""
    lines = {name: values for name, values in panel.lines.items() if np.isfinite(values).any()}
    right = {name: values for name, values in panel.right.items() if np.isfinite(values).any()}
    return Panel(panel.title, panel.steps, lines, panel.marked if lines else (), panel.band, right,
                 panel.stepwise)  # fmt: skip


def _units(
    steps: NDArray[np.int64], metrics: Table, places: NDArray[np.int64], *, one: bool
) -> Panel:
    """Return the preferred unit of one sample, or the share of samples that prefer each unit."""
    preferred = metrics["argmax"]
    if one:
        of_step = np.full(len(steps), np.nan)
        of_step[places] = np.where(preferred < 0, np.nan, preferred)
        return Panel("preferred unit", steps, {"": of_step}, stepwise=True)
    units, counts = np.unique(preferred[preferred >= 0], return_counts=True)
    drawn = sorted(units[np.argsort(-counts, kind="stable")][:MOST_UNITS].tolist())
    samples = np.bincount(places, minlength=len(steps))
    lines = {
        f"unit {unit}": np.bincount(places[preferred == unit], minlength=len(steps)) / samples
        for unit in drawn
    }
    left_out = (
        f", the {len(drawn)} of {len(units)} most preferred" if len(units) > len(drawn) else ""
    )
    return Panel(f"share of samples that prefer a unit{left_out}", steps, lines)


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
    return Panel("what the maps depend on: cosine, first, middle and last step", steps, lines)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _checks(
    steps: NDArray[np.int64],
    metrics: Table,
    each: Callable[[Callable[[Floats], Floats], Floats], Floats],
    typical: str,
) -> Panel:
    score = np.asarray(metrics["score"])
    divisor = np.where(score == 0, np.nan, score)
    return Panel(
        f"checks: relevance for each unit of the score{typical}",
        steps,
        {"sum(R) / score": each(np.median, metrics["relevance_sum"] / divisor)},
        right={
            "sum|R| / |score| (right)": each(np.median, metrics["relevance_l1"] / np.abs(divisor))
        },
    )
