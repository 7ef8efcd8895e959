"""The populations of a run whose distribution is drawn: steps, samples, pixels, cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrpdyn.figures.canvas import words
from lrpdyn.figures.canvas.outlier_labels import MOST_LABELS
from lrpdyn.figures.drawings.distribution import Population
from lrpdyn.outliers.render import place
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series


def populations_of(run: RunFolder) -> list[Population]:
    """Return the four populations of the outlier report, with fences and labelled outliers.

    Where the tables are by step, changes of samples are not known: steps and pixels alone.
    """
    series = table_series(run)
    change = series.changes()
    values = {
        "steps": series.median_changes(),
        "samples": None if change is None else change.sum(axis=0),
        "pixels": run.mapped("relative_dynamics").ravel(),
        "cells": None if change is None else change.ravel(),
    }
    report = run.outliers
    return [
        Population(
            name=name,
            values=of_kind,
            mild=report["totals"][name]["fence_mild"],
            far=report["totals"][name]["fence_far"],
            labels=[
                (entry["value"], label(entry))
                for entry in report[name]
                if entry["severity"] != "none"
            ][:MOST_LABELS],
            note=_rolling(report["totals"][name]),
        )
        for name, of_kind in values.items()
        if of_kind is not None
    ]


def _rolling(total: Mapping[str, Any]) -> str:
    """Say of changes that have fences of their own, by the transitions around them, how many are beyond."""
    if not total.get("window"):
        return ""
    beyond = f"{total['far']:,} far and {total['mild']:,} mild"
    return f"{beyond} beside the {total['window']} transitions around each"


def label(entry: Mapping[str, Any]) -> str:
    """Return where an outlier is and why: "800k → 900k, sample 2: action_flip"."""
    where = dict(entry["where"])
    words_ = []
    if "from_step" in where:
        ends = words.step_labels([where.pop("from_step"), where.pop("to_step")])
        words_.append(" → ".join(ends))
    words_ += [place(where)] if where else []
    causes = [cause["cause"] for cause in entry["causes"]]
    return ", ".join(words_) + (f": {causes[0]}" if causes else "")
