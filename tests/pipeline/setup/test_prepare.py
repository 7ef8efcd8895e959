"""From options to a job: what cannot be is refused before anything is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrpdyn.checkpoints.model import LeftOut, Listing
from lrpdyn.errors import CheckpointError, LrpdynError, UsageError
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.pipeline.setup.prepare import check, check_bad, selection_of


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"rule": "zpluss"}, "did you mean zplus"),
        ({"arch": "nobody"}, "nobody"),
        ({"baseline": "random:0"}, "--baseline random:0: expected"),
        ({"tables": "both"}, "tables 'both': expected samples or steps"),
    ],
)
def test_names_that_nothing_has_are_refused(given: dict[str, Any], says: str) -> None:
    check(Options())
    with pytest.raises(LrpdynError, match=says):
        check(Options(**given))


def test_options_say_which_checkpoints() -> None:
    found = selection_of(Options(since=3, every=2, weights="ema", prefix="actor."))
    assert (found.since, found.every, found.weights, found.pattern) == (3, 2, "ema", None)
    with pytest.raises(UsageError, match="--limit 1: expected 2 or more"):
        selection_of(Options(limit=1))


def test_of_many_bad_checkpoints_some_are_named_and_all_are_counted() -> None:
    bad = tuple(
        LeftOut(path=Path(f"net_{n}.pt"), reason=f"net_{n}.pt: torn", bad=True) for n in range(23)
    )
    listing = Listing(checkpoints=(), left_out=bad, unit="steps")
    check_bad(listing, skip_bad=True)
    with pytest.raises(CheckpointError, match=r"23 of 23 .*net_19.pt: torn; and 3 more"):
        check_bad(listing, skip_bad=False)


def test_a_fill_is_in_units_of_the_files(job_with: Callable[..., Job]) -> None:
    assert job_with(fill=3.0, scale=2).fill == 1.5
    assert job_with(fill=3.0, scale=2, mean=0.5, std=0.25).fill == 4.0
    with pytest.raises(UsageError, match="--fill: normalised by a mean"):
        job_with(fill=3.0, mean=np.arange(6.0), std=np.ones(6))
