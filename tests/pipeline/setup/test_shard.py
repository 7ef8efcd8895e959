"""Stretches of a series, and how they are named."""

from __future__ import annotations

import pytest

from lrpdyn.errors import UsageError
from lrpdyn.pipeline.setup.shard import Shard, parse_shard


@pytest.mark.parametrize("count", [1, 2, 7, 23, 64, 1000, 4099])
def test_shards_are_a_series_cut_into_stretches_alike(count: int) -> None:
    for of in {1, min(2, count), min(7, count), count}:
        stretches = [Shard(number, of).places(count) for number in range(1, of + 1)]
        assert [place for stretch in stretches for place in stretch] == list(range(count))
        longest = max(map(len, stretches))
        assert min(map(len, stretches)) >= max(1, longest // 2)
    with pytest.raises(UsageError, match=f"{count} checkpoints make {count} shards at most"):
        Shard(1, count + 1).places(count)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "-1/2", "a/b", "1/2/3"])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(UsageError, match="expected K/N"):
        parse_shard(text)
