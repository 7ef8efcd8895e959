"""A run as a Dataset, beside its arrays."""

from __future__ import annotations

import numpy as np

import lrpdyn
from tests.exports.datasets import check_dataset


def test_a_dataset_of_xarray(image_run: lrpdyn.Run, flat_run: lrpdyn.Run) -> None:
    dataset = image_run.to_xarray()
    check_dataset(dataset, image_run, ("sample", "channel", "row", "column"))
    step = image_run.steps[2]
    piece = dataset["relevance"].sel(step=[step, image_run.steps[0]]).isel(row=slice(3, 40, 5))
    assert np.array_equal(piece[0], image_run.relevance[step][:, :, 3:40:5])
    assert not dataset["relevance"].isel(step=[]).size
    check_dataset(flat_run.to_xarray(), flat_run, ("sample", "feature"))


def test_tables_are_frames_of_pandas(flat_run: lrpdyn.Run) -> None:
    frame = flat_run.metrics.to_pandas()
    assert frame["score"].tolist() == flat_run.metrics["score"].tolist()
    assert len(flat_run.transitions.to_pandas()) == 4 * 5
