"""Which samples checks look at: a function of their number alone."""

from __future__ import annotations

from itertools import pairwise

import pytest

from lrpdyn.observations.checked_samples import MOST_CHECKED, checked_samples, evenly_spaced


@pytest.mark.parametrize("count", [65, 66, 127, 128, 1000, 4096])
def test_of_many_samples_a_fixed_number_lies_over_all(count: int) -> None:
    found = checked_samples(count)
    assert len(found) == len(set(found)) == MOST_CHECKED
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0, count - 1)
    gaps = {after - before for before, after in pairwise(found)}
    assert max(gaps) - min(gaps) <= 1


def test_of_few_samples_all_are_looked_at() -> None:
    assert checked_samples(64) == list(range(64))
    assert checked_samples(1) == [0]
    assert [evenly_spaced(9, most) for most in (0, 1, 2, 3)] == [[], [0], [0, 8], [0, 4, 8]]
