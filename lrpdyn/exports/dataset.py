"""A run as an `xarray.Dataset` whose relevance is read when it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Dataset
from xarray import Variable as LazyVariable
from xarray.backends import BackendArray
from xarray.core import indexing

from lrpdyn.exports.variables import (
    Variable,
    about,
    coordinates,
    dimensions_of,
    first_map,
    variables,
)
from lrpdyn.run.reader import RunFolder


class _Relevance(BackendArray):
    """The maps of all steps, (S, N, ...), of which only what is indexed is read."""

    def __init__(self, run: RunFolder, each: NDArray[Any]) -> None:
        self._run = run
        self.shape = (len(run.steps), *each.shape)
        self.dtype = each.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        chosen, inside = key[0], key[1:]
        steps, maps = self._run.steps, self._run.relevance
        if isinstance(chosen, slice):
            return np.stack([maps[step][inside] for step in steps[chosen]])
        return np.array(maps[steps[chosen]][inside])


def to_dataset(run: RunFolder) -> Dataset:
    """Return a run as a Dataset; see `lrpdyn.run.reader.Run.to_xarray`."""
    found, along = _plain(variables(run)), _plain(coordinates(run))
    each = first_map(run)
    if each is not None:
        values = indexing.LazilyIndexedArray(_Relevance(run, each))
        found["relevance"] = LazyVariable(("step", *dimensions_of(run, each)), values)
    return Dataset(found, along, about(run))


def _plain(named: Mapping[str, Variable]) -> dict[str, Any]:
    return {k: (one.dimensions, one.values, dict(one.attributes)) for k, one in named.items()}
