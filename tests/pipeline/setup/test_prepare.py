"""From options to a job: what cannot be run is told, and the job says what the options were resolved to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrpdyn.errors import CheckpointError, UsageError
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.pipeline.setup.prepare import check, listed, prepare, selection_of
from lrpdyn.system.threads import one_thread
from tests.pipeline.test_compute import TANH, Vectors


def prepared(
    folder: Path, vectors: Vectors, out: Path, **options: Any
) -> tuple[Job, dict[str, Any]]:
    """Return the job of options, and what was checked of it."""
    given = Options(out=out, arch_args=TANH, quiet=True, **options)
    with one_thread():
        return prepare(given, listed(folder, given), vectors)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"arch": "mlpp"}, "mlpp"),
        ({"rule": "zpluss"}, "did you mean zplus"),
        ({"baseline": "random:many"}, "random:many"),
        ({"tables": "cells"}, "cells"),
    ],
)
def test_what_names_nothing_is_told(options: dict[str, Any], says: str) -> None:
    check(Options())
    with pytest.raises(UsageError, match=says):
        check(Options(**options))


def test_the_first_twenty_bad_checkpoints_are_told_with_their_reasons(mlp_folder: Path) -> None:
    for step in range(100, 122):
        (mlp_folder / f"net_{step}.pt").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"^22 of 27 .* and 2 more, see lrpdyn") as found:
        listed(mlp_folder, Options(quiet=True))
    assert str(found.value).count(str(mlp_folder)) == 20
    listing = listed(mlp_folder, Options(quiet=True, skip_bad=True))
    assert [c.step for c in listing.checkpoints] == [2, 4, 10, 20, 30]
    assert len(listing.bad) == 22


def test_one_checkpoint_is_not_enough(mlp_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="found 1 checkpoint, expected two or more"):
        listed(mlp_folder, Options(quiet=True, pattern="net_2.pt"))


def test_the_selection_is_that_of_the_options(mlp_folder: Path) -> None:
    options = Options(quiet=True, pattern="net_?0.pt")
    assert selection_of(options).pattern == "net_?0.pt"
    assert [c.step for c in listed(mlp_folder, options).checkpoints] == [10, 20, 30]


def test_a_job_is_of_the_network_that_the_checkpoints_hold(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    vectors = vectors.copy()
    vectors[:, 0] = 0.25  # the value that is there most often
    job, checks = prepared(mlp_folder, vectors, tmp_path / "run", rule="gamma:0.5")
    np.testing.assert_array_equal(job.observations.values, vectors)
    assert (job.rule.name, dict(job.rule.parameters)) == ("gamma", {"gamma": 0.5})
    assert [rule.text for rule in job.model.plan.values()].count("gamma:0.5") == 2
    assert (job.fill.value, job.painting, job.shard) == (0.25, None, None)
    assert set(checks) == {"outputs", "expected"}
    assert checks["expected"] is None  # nothing was recorded
    job, _ = prepared(mlp_folder, vectors, tmp_path / "run", fill=-2.0, shard="2/2")
    assert (job.fill.value, str(job.shard)) == (-2.0, "2/2")
    assert [c.step for c in job.own] == [10, 20, 30]
    with pytest.raises(UsageError, match="--device tpu: expected auto, cpu"):
        prepared(mlp_folder, vectors, tmp_path / "run", device="tpu")
