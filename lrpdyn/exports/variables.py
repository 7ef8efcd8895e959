"""What a run holds as named variables with named dimensions; relevance is left to be streamed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.run.layout import MAPS
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import table_series

_KEYS = {"step", "sample", "from_step", "to_step"}


@dataclass(frozen=True, kw_only=True)
class Variable:
    """An array, the names of its dimensions, and what is said about it."""

    dimensions: tuple[str, ...]
    values: NDArray[Any]
    attributes: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What is stored of each step's relevance: the names of its dimensions, its shape and type."""

    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def stored(run: RunFolder) -> Stored | None:
    """Return what is stored of each step; None where the run keeps nothing (``--keep none``)."""
    if run.manifest.get("stored", {}).get("keep") == "none":
        return None
    first = run.relevance[run.steps[0]]
    return Stored(dimensions=dimensions_of(first), shape=first.shape, dtype=first.dtype)


def dimensions_of(values: NDArray[Any]) -> tuple[str, ...]:
    """Return the names of the dimensions: of (N, C, H, W), of pixels (N, H, W), or of (N, F)."""
    names = {2: ("feature",), 3: ("row", "column"), 4: ("channel", "row", "column")}
    return ("sample", *names[values.ndim])


def coordinates(run: RunFolder) -> dict[str, Variable]:
    """Return the values along the dimensions: steps, samples, and where each transition is."""
    samples = len(run.mapped("observations"))
    unit = {"units": str(run.manifest["unit"])}
    from_steps, to_steps = table_series(run).ends()
    return {
        "step": Variable(
            dimensions=("step",), values=np.array(run.steps, dtype=np.int64), attributes=unit
        ),
        "sample": Variable(dimensions=("sample",), values=np.arange(samples), attributes={}),
        "from_step": Variable(dimensions=("transition",), values=from_steps, attributes=unit),
        "to_step": Variable(dimensions=("transition",), values=to_steps, attributes=unit),
    }


def variables(run: RunFolder) -> dict[str, Variable]:
    """Return the observations, the maps over all steps, and the columns of both tables.

    Arrays are mapped from their files: those of many samples need not fit into memory.
    """
    arrays = {name: run.mapped(name) for name in ("observations", *MAPS)}
    found = {
        name: Variable(dimensions=dimensions_of(one), values=one, attributes={})
        for name, one in arrays.items()
    }
    metrics = run.metrics[np.isin(run.metrics["step"], run.steps)]
    return {
        **found,
        **_columns(metrics, run, "step"),
        **_columns(run.transitions, run, "transition"),
    }


def about(run: RunFolder) -> dict[str, str]:
    """Return what was requested, as attributes of the whole."""
    manifest = run.manifest
    rule = manifest["rule"]
    parameters = ", ".join(f"{key}={value}" for key, value in rule["parameters"].items())
    return {
        "title": f"Relevance over training, {rule['name']}",
        "rule": rule["name"] + (f" ({parameters})" if parameters else ""),
        "question": run.question,
        "architecture": manifest["architecture"]["name"],
        "lrpdyn": manifest["lrpdyn"],
    }


def _columns(table: NDArray[Any], run: RunFolder, along: str) -> dict[str, Variable]:
    series = table_series(run)
    columns = {
        name: series.shaped(table[name]) for name in table.dtype.names or () if name not in _KEYS
    }
    return {
        name: Variable(dimensions=(along, "sample")[: values.ndim], values=values, attributes={})
        for name, values in columns.items()
    }
