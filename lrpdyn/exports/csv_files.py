"""A run as CSV: its tables, and a file of relevance for each step, a row for each element."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.exports.variables import dimensions_of, stored
from lrpdyn.files.atomic import save_table
from lrpdyn.run.layout import MAPS, relevance_path
from lrpdyn.run.reader import RunFolder

_TABLES = ("metrics.csv", "transitions.csv", "outliers.csv")


def write_csv(run: RunFolder, out: Path) -> None:
    """Write the tables of a run, ``dynamics.csv`` and its like, and ``relevance/step_....csv``."""
    out.mkdir(parents=True)
    for name in _TABLES:
        shutil.copy(run.path / name, out / name)
    for name in MAPS:
        values = run.mapped(name)
        save_table(out / f"{name}.csv", (*dimensions_of(values), name), _rows(values))
    each = stored(run)
    if each is not None:
        for step in run.steps:
            path = relevance_path(out, step).with_suffix(".csv")
            save_table(path, (*each.dimensions, "relevance"), _rows(run.relevance[step]))


def _rows(values: NDArray[Any]) -> Iterator[list[Any]]:
    """Yield the place and the value of each entry; written with the digits that its type has."""
    for place in np.ndindex(values.shape):
        yield [*place, float(str(values[place]))]
