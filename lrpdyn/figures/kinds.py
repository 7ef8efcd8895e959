"""The figures of a run by name: what of the run each one shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lrpdyn.curves import Curve, series_of
from lrpdyn.errors import UsageError
from lrpdyn.figures.distribution import Population, draw_distribution
from lrpdyn.figures.filmstrip import draw_filmstrip
from lrpdyn.figures.heatmap import draw_heatmap
from lrpdyn.figures.trajectory import Panel, draw_trajectory
from lrpdyn.outliers.render import place
from lrpdyn.run import Run

KINDS = ("dynamics", "filmstrip", "distribution", "trajectory")


def draw(run: Run, kind: str, sample: int = 0, curve: Curve | None = None) -> Path:
    """Draw one kind of figure into the run folder; return its path.

    `curve` is drawn above the trajectory.

    Raises
    ------
    UsageError
        The run has no such sample.
    """
    observations = run.mapped("observations")
    if not 0 <= sample < len(observations):
        raise UsageError(f"--sample {sample}: the run has samples 0 to {len(observations) - 1}")
    about = {"rule": run.manifest["rule"]["name"], "question": run.question}
    normalised = run.manifest["normalize"]
    value_unit = (
        "units of the score" if normalised == "none" else f"relevance normalised by {normalised}"
    )
    folder = run.path / "figures"
    folder.mkdir(exist_ok=True)
    if kind == "dynamics":
        path = folder / "dynamics.png"
        draw_heatmap(
            path,
            observations,
            run.mapped("dynamics"),
            steps=run.steps,
            unit=run.manifest["unit"],
            value_unit=value_unit,
            **about,
        )
    elif kind == "filmstrip":
        path = folder / f"filmstrip_sample{sample}.png"
        maps = run.relevance
        draw_filmstrip(
            path,
            observations[sample],
            run.steps,
            lambda step: maps[step][sample],
            sample=sample,
            unit=run.manifest["unit"],
            **about,
        )
    elif kind == "trajectory":
        path = folder / "trajectory.png"
        phases = run.outliers.get("phases") or {"borders": []}
        borders = [border["step"] for border in phases["borders"]]
        draw_trajectory(path, _panels(run, curve), borders, unit=run.manifest["unit"], **about)
    else:
        path = folder / "distribution.png"
        draw_distribution(path, _populations(run), value_unit=value_unit, **about)
    return path


def _panels(run: Run, curve: Curve | None) -> list[Panel]:
    """Return the training curve, the changes, and shares and effects of regions."""
    import numpy as np

    steps, series = series_of(run)
    flagged = [entry for entry in run.outliers["steps"] if entry["severity"] != "none"]
    ends = sorted({entry["where"]["to_step"] for entry in flagged})
    marked = np.flatnonzero(np.isin(steps, ends)).tolist()
    panels = []
    if curve is not None:
        panels.append(Panel(f"training curve: {curve.source}", steps, {"": curve.at(steps)}))
    panels.append(
        Panel("change into the step, median over samples", steps, {"": series["change"]}, marked)
    )
    panels.append(Panel("entropy of |R| over pixels, nats", steps, {"": series["entropy"]}))
    for begin, title in (
        ("share_per_random_", "share of |R| over that of random networks"),
        ("effect_", "effect of painting the region over"),
    ):
        lines = {n.removeprefix(begin): v for n, v in series.items() if n.startswith(begin)}
        if any(np.isfinite(values).any() for values in lines.values()):
            panels.append(Panel(title, steps, lines))
    return panels


def _populations(run: Run) -> list[Population]:
    import numpy as np

    change = run.transitions["change"].reshape(-1, len(run.mapped("observations")))
    values = {
        "steps": np.median(change, axis=1) if change.size else change.ravel(),
        "samples": change.sum(axis=0),
        "pixels": run.relative_dynamics.ravel(),
        "cells": change.ravel(),
    }
    return [_population(name, of_kind, run.outliers) for name, of_kind in values.items()]


def _population(name: str, values: Any, report: dict[str, Any]) -> Population:
    strongest = [entry for entry in report[name] if entry["severity"] != "none"][:5]
    labels = [(entry["value"], place(entry["where"])) for entry in strongest]
    total = report["totals"][name]
    return Population(name, values, total["fence_mild"], total["fence_far"], labels)
