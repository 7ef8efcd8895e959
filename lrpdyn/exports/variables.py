"""What a run holds as named variables with named dimensions; relevance is left to be streamed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.run.layout import MAPS
from lrpdyn.run.reader import RunFolder, axes_of
from lrpdyn.run.series import table_series

_KEYS = {"step", "sample", "from_step", "to_step"}
_UNITS = {"target", "argmax"}


@dataclass(frozen=True, kw_only=True)
class Variable:
    """An array, the names of its dimensions, and what is said about it."""

    dimensions: tuple[str, ...]
    values: NDArray[Any]
    attributes: Mapping[str, str]


def first_map(run: RunFolder) -> NDArray[Any] | None:
    """Return what is stored of the first step; None where the run keeps nothing (``--keep none``)."""
    return None if run.keep == "none" else run.relevance[run.steps[0]]


def dimensions_of(run: RunFolder, values: NDArray[Any]) -> tuple[str, ...]:
    """Return the names of the dimensions of one of the run's arrays, channels summed or not."""
    summed = values.ndim < len(run.shape)
    return ("sample", *(axis for axis in axes_of(run.manifest) if axis != "channel" or not summed))


def coordinates(run: RunFolder) -> dict[str, Variable]:
    """Return the values along the dimensions: steps, samples, and where each transition is."""
    unit = {"units": str(run.manifest["unit"])}
    from_steps, to_steps = table_series(run).ends()
    samples = np.arange(len(run.mapped("observations")))
    return {
        name: Variable(dimensions=(along,), values=values, attributes=attributes)
        for name, along, values, attributes in (
            ("step", "step", np.array(run.steps, dtype=np.int64), unit),
            ("sample", "sample", samples, _named(run, "samples")),
            ("from_step", "transition", from_steps, unit),
            ("to_step", "transition", to_steps, unit),
        )
    }


def _named(run: RunFolder, kind: str) -> dict[str, str]:
    """Return the attribute that says what numbers of a kind are called, as JSON; none without names."""
    names = run.manifest.get("names", {}).get(kind)
    return {"names": json.dumps(names, ensure_ascii=False)} if names else {}


def variables(run: RunFolder) -> dict[str, Variable]:
    """Return the observations, the maps over all steps, and the columns of both tables.

    Arrays are mapped from their files: those of many samples need not fit into memory.
    """
    found = {}
    for name in ("observations", *MAPS):
        values = run.mapped(name)
        found[name] = Variable(dimensions=dimensions_of(run, values), values=values, attributes={})
    series = table_series(run)
    metrics = run.metrics[np.isin(run.metrics["step"], run.steps)]
    for along, table in (("step", metrics), ("transition", run.transitions)):
        for name in table.dtype.names or ():
            if name in _KEYS or table.dtype[name].kind == "U":  # names are attributes of numbers
                continue
            values = series.shaped(table[name])
            names = (along, "sample")[: values.ndim]
            is_unit = name.removesuffix("_most_common") in _UNITS
            attributes = _named(run, "units") if is_unit else {}
            found[name] = Variable(dimensions=names, values=values, attributes=attributes)
    return found


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
