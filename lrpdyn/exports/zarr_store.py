"""A run as a Zarr store that `xarray.open_zarr` reads."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from lrpdyn.exports.variables import about, coordinates, dimensions_of, first_map, variables
from lrpdyn.run.reader import RunFolder
from lrpdyn.system.progress import Bar

_LARGEST_CHUNK = 1 << 24


def write_zarr(run: RunFolder, out: Path, bar: Bar) -> None:
    """Write a Zarr store (format 3): all that `Run.to_xarray` has, a chunk or more for each step."""
    import zarr

    store = _store(out)
    group = zarr.create_group(store, attributes=about(run))
    # What holds values along a dimension is known by its name, or by this list, as xarray does.
    group.attrs["coordinates"] = "from_step to_step"
    for name, one in {**coordinates(run), **variables(run)}.items():
        array = group.create_array(
            name,
            shape=one.values.shape,
            dtype=one.values.dtype,
            dimension_names=one.dimensions,
            attributes=dict(one.attributes),
        )
        array[...] = one.values
    each = first_map(run)
    if each is not None:
        samples = max(1, _LARGEST_CHUNK // (each.dtype.itemsize * int(np.prod(each.shape[1:]))))
        relevance = group.create_array(
            "relevance",
            shape=(len(run.steps), *each.shape),
            dtype=each.dtype,
            chunks=(1, min(samples, each.shape[0]), *each.shape[1:]),
            dimension_names=("step", *dimensions_of(run, each)),
        )
        for place, step in enumerate(bar(run.steps)):
            relevance[place] = run.relevance[step]
    with warnings.catch_warnings():
        # xarray looks for it and warns where it is missing; Zarr warns that it is young.
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
        zarr.consolidate_metadata(store)


def _store(folder: Path) -> Any:
    """Return a store of files, in which nothing is written any more after one could not be.

    Zarr writes chunks side by side, and those that are on their way when one fails would make the
    folder again after it was deleted.
    """
    from zarr.storage import LocalStore

    class Store(LocalStore):
        def __init__(self, root: Path | str, *, read_only: bool = False) -> None:
            super().__init__(root, read_only=read_only)
            self._one_at_a_time, self._failed = asyncio.Lock(), False

        async def set(self, key: str, value: Any) -> None:
            await self._alone(super().set, key, value)

        async def set_if_not_exists(self, key: str, value: Any) -> None:
            await self._alone(super().set_if_not_exists, key, value)

        async def _alone(self, write: Any, key: str, value: Any) -> None:
            async with self._one_at_a_time:
                if self._failed:
                    return
                try:
                    await write(key, value)
                except OSError:
                    self._failed = True
                    raise

    return Store(folder)
