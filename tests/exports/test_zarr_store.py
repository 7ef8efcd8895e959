"""A run as a Zarr store, as xarray opens it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray
import zarr

import lrpdyn
from lrpdyn.exports.formats import export
from lrpdyn.exports.zarr_store import write_zarr
from tests.exports.datasets import check_dataset


def test_zarr_that_xarray_opens(
    image_run: lrpdyn.Run, flat_run: lrpdyn.Run, tmp_path: Path
) -> None:
    for run, dimensions in (
        (image_run, ("sample", "channel", "row", "column")),
        (flat_run, ("sample", "feature")),
    ):
        out = export(run, "zarr", tmp_path / f"{len(dimensions)}.zarr")
        with xarray.open_zarr(out, chunks=None) as dataset:
            check_dataset(dataset, run, dimensions)
            assert dataset["step"].attrs["units"] == run.manifest["unit"]


def test_each_step_has_chunks_of_its_own(image_run: lrpdyn.Run, tmp_path: Path) -> None:
    write_zarr(image_run, tmp_path / "a.zarr", iter)
    found = zarr.open_group(tmp_path / "a.zarr", mode="r")["relevance"]
    assert isinstance(found, zarr.Array)
    assert found.chunks == (1, *image_run.relevance[image_run.steps[0]].shape)
    np.testing.assert_array_equal(found[1], image_run.relevance[image_run.steps[1]])
