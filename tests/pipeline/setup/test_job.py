"""What a job knows from its options."""

from __future__ import annotations

from collections.abc import Callable

from lrpdyn.pipeline.setup.job import Job


def test_a_shard_has_its_stretch_of_the_series(job_with: Callable[..., Job]) -> None:
    whole, shard = job_with(), job_with(shard="2/2", keep="none", dtype="float16")
    assert [checkpoint.step for checkpoint in whole.own] == [2, 4, 10, 20, 30]
    assert whole.shard is None
    assert len(shard.listing.checkpoints) == 5
    assert [checkpoint.step for checkpoint in shard.own] == [10, 20, 30]
    assert list(shard.places) == [2, 3, 4]
    assert (shard.storage.keep, shard.storage.dtype) == ("none", "float16")
