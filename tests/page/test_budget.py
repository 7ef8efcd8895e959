"""Which maps a page has room for."""

from typing import Any

import pytest

from lrpdyn.page.budget import MOST_PIXELS, Flagged, choose_samples, flagged, keep

NOTHING = Flagged(frozenset(), frozenset())
STEPS = range(0, 1000, 10)


def test_a_short_run_is_whole() -> None:
    kept = keep(range(200), range(4), 84 * 84, NOTHING)
    assert kept.steps == tuple(range(200))
    assert set(kept.samples) == {(0, 1, 2, 3)}
    assert kept.note == ""
    assert keep(range(201), range(4), 84 * 84, NOTHING).note != ""
    assert MOST_PIXELS == 200 * 4 * 84 * 84


def test_of_a_long_run_the_flagged_stay_and_steps_evenly_between() -> None:
    marked = Flagged(frozenset({130}), frozenset({(770, 1), (780, 0)}))
    kept = keep(STEPS, [0, 1], 10, marked, most_pixels=20 * 12)
    assert {0, 130, 770, 780, 990} <= set(kept.steps)
    assert 10 <= len(kept.steps) <= 12
    assert list(kept.steps) == sorted(kept.steps)
    assert set(kept.samples) == {(0, 1)}
    assert max(b - a for a, b in zip(kept.steps, kept.steps[1:], strict=False)) <= 150
    assert kept.note.startswith(f"{len(kept.steps)} of 100 steps have pictures: steps evenly")


def test_where_the_flagged_alone_are_too_many_they_stay_all_the_same() -> None:
    cells = frozenset((step, 1) for step in range(10, 500, 10))
    kept = keep(STEPS, [0, 1], 10, Flagged(frozenset({600}), cells), most_pixels=20 * 12)
    assert set(kept.steps) == {0, 990, 600, *range(10, 500, 10)}
    held = dict(zip(kept.steps, kept.samples, strict=True))
    assert held[0] == held[600] == held[990] == (0, 1)
    assert held[10] == held[490] == (1,)
    assert "for the flagged samples alone" in kept.note


def test_what_room_the_flagged_leave_is_used() -> None:
    cells = frozenset((step, 1) for step in range(10, 150, 10))
    kept = keep(STEPS, range(4), 10, Flagged(frozenset(), cells), most_pixels=50 * 10)
    held = dict(zip(kept.steps, kept.samples, strict=True))
    assert {step for step, _ in cells} <= set(held)
    assert 42 <= sum(map(len, kept.samples)) <= 50
    assert sum(len(samples) == 4 for samples in kept.samples) >= 8


def _entry(severity: str = "none", **where: int) -> dict[str, Any]:
    return {"where": where, "severity": severity}


def test_flagged_is_what_lies_beyond_a_fence_and_every_pathology() -> None:
    report = {
        "pathologies": [_entry("pathology", step=5, sample=2), _entry("pathology", step=6)],
        "steps": [_entry("mild", from_step=1, to_step=2), _entry(from_step=2, to_step=3)],
        "cells": [_entry("far", from_step=3, to_step=4, sample=n) for n in (1, 9)],
    }
    found = flagged(report, range(3))
    assert found == Flagged(frozenset({6, 2}), frozenset({(5, 2), (4, 1)}))
    assert found.anywhere == {2, 4, 5, 6}


@pytest.mark.parametrize(("samples", "expected"), [(3, [0, 1, 2]), (9, [0, 5, 7, 8])])
def test_of_many_samples_those_of_the_strongest_outliers_are_shown(
    samples: int, expected: list[int]
) -> None:
    report = {"cells": [_entry(sample=n) for n in (7, 5, 7)], "samples": [_entry(sample=8)]}
    assert choose_samples(samples, report, most=4) == expected
