"""A run as a Zarr store that `xarray.open_zarr` reads."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from lrpdyn.exports.variables import about, coordinates, dimensions_of, first_map, variables
from lrpdyn.run.reader import RunFolder

_LARGEST_CHUNK = 1 << 24


def write_zarr(run: RunFolder, out: Path) -> None:
    """Write a Zarr store (format 3): all that `Run.to_xarray` has, a chunk or more for each step."""
    import zarr

    group = zarr.create_group(out, attributes=about(run))
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
        for place, step in enumerate(run.steps):
            relevance[place] = run.relevance[step]
    with warnings.catch_warnings():
        # xarray looks for it and warns where it is missing; Zarr warns that it is young.
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
        zarr.consolidate_metadata(out)
