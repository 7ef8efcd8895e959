"""A run as CSV: its tables, and a file of relevance for each step, a row for each element."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.exports.variables import dimensions_of
from lrpdyn.files.atomic import write_table
from lrpdyn.run.layout import FAITHFULNESS, FEATURES, LAYERS, MAPS, relevance_path
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.verify import results_of
from lrpdyn.system.progress import Bar

_TABLES = ("metrics.csv", "transitions.csv", LAYERS, FAITHFULNESS, FEATURES, "outliers.csv")


def write_csv(run: RunFolder, out: Path, bar: Bar) -> None:
    """Write the tables of a run, ``dynamics.csv`` and its like, and ``relevance/step_....csv``."""
    (out / "relevance" if run.keep != "none" else out).mkdir(parents=True)
    for name in set(_TABLES) & set(results_of(run.manifest)):
        shutil.copy(run.checked_path(name), out / name)
    for name in MAPS:
        values = run.mapped(name)
        _save(out / f"{name}.csv", (*dimensions_of(run, values), name), _rows(values))
    for step in bar(run.steps if run.keep != "none" else ()):
        path, maps = relevance_path(out, step).with_suffix(".csv"), run.relevance[step]
        _save(path, (*dimensions_of(run, maps), "relevance"), _rows(maps))


def _save(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table and wait until it is on the disk; its folder has its own name only later."""
    with path.open("x", encoding="utf-8", newline="") as file:
        write_table(file, columns, rows)
        file.flush()
        os.fsync(file.fileno())


def _rows(values: NDArray[Any]) -> Iterator[list[Any]]:
    """Yield the place and the value of each entry; written with the digits that its type has."""
    for place in np.ndindex(values.shape):
        yield [*place, float(str(values[place]))]
