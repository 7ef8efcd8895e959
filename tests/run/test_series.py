"""Series over the steps of a run: values over samples, and what tables by step give in their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.errors import RunError
from lrpdyn.run.series import over_samples, series_of_sample, table_series

Vectors = NDArray[np.float32]


@pytest.fixture
def runs(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> list[lrpdyn.Run]:
    """The same run by sample and by step."""
    return [
        lrpdyn.compute(mlp_folder, vectors, out=tmp_path / tables, tables=tables, quiet=True,
                       arch_args={"activation": "tanh"}, baseline="none", workers=1)
        for tables in ("samples", "steps")
    ]  # fmt: skip


def test_both_tables_give_the_same_medians_and_counts(runs: list[lrpdyn.Run]) -> None:
    by_sample, by_step = (table_series(run) for run in runs)
    assert by_sample.steps.tolist() == by_step.steps.tolist() == list(runs[0].steps)
    for name in ("score", "entropy", "distance_from_first"):
        np.testing.assert_array_equal(by_sample.median(name), by_step.median(name))
    np.testing.assert_array_equal(by_sample.median_changes(), by_step.median_changes())
    assert by_sample.preference_changes() == by_step.preference_changes()
    for one, other in zip(by_sample.ends(), by_step.ends(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (by_sample.replaced_rows, by_step.replaced_rows) == (0, len(runs[0].metrics))


def test_values_of_samples_are_there_by_sample_alone(runs: list[lrpdyn.Run]) -> None:
    by_sample, by_step = (table_series(run) for run in runs)
    changes = by_sample.changes()
    assert changes is not None
    samples = runs[0].shape[0]
    assert changes.ravel().tolist() == runs[0].transitions["change"].tolist()
    assert changes.shape == (len(runs[0].transitions) // samples, samples)
    assert by_step.changes() is by_step.shares_of_units() is by_step.relevance_to_score() is None
    assert by_step.preferred_unit()[1] is not None
    np.testing.assert_array_equal(
        by_sample.of_steps("score", [1])[:, 0], runs[0].metrics["score"][1::samples]
    )
    # By step, all samples have the median.
    np.testing.assert_array_equal(
        by_step.of_steps("score", [0, 1]), np.stack([by_step.median("score")] * 2, axis=1)
    )


def test_one_sample_is_itself_and_named_so(runs: list[lrpdyn.Run]) -> None:
    one = table_series(runs[0], [2])
    assert (one.typical, one.average, one.shaded, one.band("score")) == ("", "", "", None)
    np.testing.assert_array_equal(
        one.median("score"), runs[0].metrics["score"][2 :: runs[0].shape[0]]
    )
    assert series_of_sample(runs[0], 2).curves().keys() == one.curves().keys()
    assert series_of_sample(runs[1], 2).typical == ", median over samples"
    with pytest.raises(RunError, match="--sample 2: needs a row for each sample"):
        table_series(runs[1], [2])


def test_a_value_over_samples_is_of_the_finite_ones() -> None:
    values = np.array([1.0, np.nan, 3.0, np.inf, 5.0])
    found = over_samples(np.mean, values, np.array([0, 0, 2, 1, 2]), 3)
    np.testing.assert_array_equal(found, [1.0, np.nan, 4.0])
