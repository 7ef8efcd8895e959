"""Columns of both tables as series over steps, by sample or by step: decided here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.run.tables import medians_in

Floats = NDArray[np.float64]

#: The columns of both tables, and the beginnings of those of regions, that are held against a curve.
_OF_TRANSITIONS = ("change", "change_per_unit", "prediction_change")
_OF_STEPS = ("entropy", "distance_from_first_l1")
_OF_REGIONS = ("share_per_random_", "effect_")


def series_of(
    run: Any, samples: Sequence[int] | None = None
) -> tuple[NDArray[np.int64], dict[str, Floats]]:
    """Return the steps of a run and its series over samples, all or some: change, shares, effects.

    Of a transition the median, at the step that it leads to; of a step the mean, or the median where
    the tables are by step.

    Raises
    ------
    RunError
        Some samples are asked for, and the tables are by step.
    """
    if run.by_step:
        if samples is not None:
            run.need_samples(f"--sample {','.join(map(str, samples))}")
        return _medians(run)
    metrics, transitions = run.metrics, run.transitions
    if samples is not None:
        metrics = metrics[np.isin(metrics["sample"], list(samples))]
        transitions = transitions[np.isin(transitions["sample"], list(samples))]
    steps, places = np.unique(metrics["step"], return_inverse=True)
    names = [n for n in metrics.dtype.names if n.startswith(_OF_REGIONS)]
    found = {}
    ends = np.searchsorted(steps, transitions["to_step"])
    for name in _OF_TRANSITIONS:
        found[name] = over_samples(np.median, transitions[name], ends, len(steps))
    for name in (*_OF_STEPS, *names):
        found[name] = over_samples(np.mean, metrics[name], places, len(steps))
    return np.asarray(steps), found


def _medians(run: Any) -> tuple[NDArray[np.int64], dict[str, Floats]]:
    """Return what `series_of` does, of tables by step."""
    metrics, transitions = run.metrics, run.transitions
    steps = np.asarray(metrics["step"])
    names = [n for n in medians_in(metrics.dtype.names) if n.startswith(_OF_REGIONS)]
    ends = np.searchsorted(steps, transitions["to_step"])
    found = {}
    for name in _OF_TRANSITIONS:
        found[name] = np.full(len(steps), np.nan)
        found[name][ends] = transitions[f"{name}_median"]
    for name in (*_OF_STEPS, *names):
        found[name] = np.array(metrics[f"{name}_median"])
    return steps, found


def over_samples(
    of: Callable[[Floats], Any], values: Floats, places: NDArray[np.int64], count: int
) -> Floats:
    """Return the median, or the mean, of the finite values at each place."""
    order = np.argsort(places, kind="stable")
    groups = np.split(np.asarray(values)[order], np.searchsorted(places[order], range(1, count)))
    finite = [group[np.isfinite(group)] for group in groups]
    return np.array([of(group) if len(group) else np.nan for group in finite])
