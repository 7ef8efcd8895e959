"""Seconds by the work that they were spent on."""

from __future__ import annotations

import time

import pytest

from lrpdyn.system.timing import Times, table_of


def test_seconds_add_up_with_those_of_workers() -> None:
    times = Times()
    for _ in range(2):
        with times.of("evidence"):
            time.sleep(0.02)
    times.add({"evidence": 10.0, "journal": 1.5})
    assert 10.04 <= times.seconds["evidence"] < 12
    assert times.taken()["journal"] == 1.5
    assert times.taken() == {}


def test_what_failed_is_counted_too() -> None:
    times = Times()
    with pytest.raises(ZeroDivisionError), times.of("evidence"):
        raise ZeroDivisionError
    assert times.seconds["evidence"] >= 0


def test_the_table_has_a_line_for_each_kind() -> None:
    times = Times()
    times.add({"explaining": 12.5, "journal": 0.25})
    rows = [line.split() for line in table_of(times).splitlines()]
    assert ["explaining", "12.50"] in rows
    assert ["journal", "0.25"] in rows
    assert ["evidence", "0.00"] in rows
