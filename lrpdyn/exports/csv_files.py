"""A run as CSV: its tables, and a file of relevance for each step, a row for each element."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.exports.variables import dimensions_of
from lrpdyn.files.atomic import BLOCK_ROWS, Block, write_table
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
        _save(out / f"{name}.csv", (*dimensions_of(run, values), name), values)
    for step in bar(run.steps if run.keep != "none" else ()):
        path, maps = relevance_path(out, step).with_suffix(".csv"), run.relevance[step]
        _save(path, (*dimensions_of(run, maps), "relevance"), maps)


def _save(path: Path, columns: Sequence[str], values: NDArray[Any]) -> None:
    """Write the place and the value of each entry and wait until they are on the disk.

    Its folder has its own name only later.
    """
    with path.open("x", encoding="utf-8", newline="") as file:
        write_table(file, columns, _blocks(values))
        file.flush()
        os.fsync(file.fileno())


def _blocks(values: NDArray[Any]) -> Iterator[Block]:
    """Yield the place and the value of entries; written with the digits that their type has."""
    flat = values.reshape(-1)
    for start in range(0, flat.size, BLOCK_ROWS):
        part = flat[start : start + BLOCK_ROWS]
        places = np.unravel_index(np.arange(start, start + len(part)), values.shape)
        yield [*(place.tolist() for place in places), part.astype(str).astype(float).tolist()]
