"""A Dataset beside the run that it is of."""

from __future__ import annotations

import numpy as np
import xarray

import lrpdyn


def check_dataset(dataset: xarray.Dataset, run: lrpdyn.Run, dimensions: tuple[str, ...]) -> None:
    """Check that a Dataset holds what the run does."""
    assert dataset["relevance"].dims == ("step", *dimensions)
    assert dataset["step"].values.tolist() == list(run.steps)
    assert dataset["relevance"].dtype == np.float32
    for step in run.steps:
        found = dataset["relevance"].sel(step=step)
        assert np.array_equal(found, run.relevance[step])
    assert dataset["dynamics"].dims == dimensions
    assert np.array_equal(dataset["dynamics"], run.dynamics)
    assert np.array_equal(dataset["pixel_entropy"], run.pixel_entropy, equal_nan=True)
    assert dataset["score"].dims == ("step", "sample")
    rows = run.metrics[run.metrics["step"] == run.steps[1]]
    assert np.array_equal(dataset["score"].sel(step=run.steps[1]), rows["score"])
    assert dataset["change"].dims == ("transition", "sample")
    assert dataset["to_step"].values.tolist() == list(run.steps[1:])
    assert {"from_step", "to_step", "step", "sample"} <= set(dataset.coords)
    assert dataset["score"].dtype == np.float64
    assert dataset["target"].dtype == np.int64
    assert dataset.attrs["question"] == run.question
