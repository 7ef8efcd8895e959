"""The short report: what to look at first, in lines that fit the terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lrpdyn.outliers.render import as_short, as_table
from lrpdyn.outliers.short import short_report
from tests.outliers.made_up import calm_run, report_on, spiked, with_steps
from tests.outliers.trained import State, run_of


@pytest.fixture
def report(clean: list[State], other: list[State]) -> dict[str, Any]:
    """A run with another seed's checkpoint, a spike, and samples whose relevance vanished for long."""
    states = [*clean[:25], other[25], *clean[26:]]
    facts = spiked(run_of(states), 33)
    sums = facts.steps.relevance_l1.copy()
    sums[10:16, 2:5] = 0
    return report_on(with_steps(facts, relevance_l1=sums, relevance_sum=sums))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal(report: dict[str, Any], width: int) -> None:
    for made in (report, report_on(calm_run()), report_on(calm_run(5))):
        lines = as_short(made, width).splitlines()
        assert max(map(len, lines)) <= width
        assert lines[0].startswith("LOOK FIRST  ")


def test_labels_are_in_the_order_of_what_to_look_at(report: dict[str, Any]) -> None:
    lines = as_short(report, 100).splitlines()
    labels = [line[:12].strip() for line in lines if line[:12].strip()]
    assert labels == ["LOOK FIRST", "THEN", "START", "NOT SEEN"]
    text = " ".join(as_short(report, 100).split())
    where = [
        text.index(words)
        for words in (
            "LOOK FIRST checkpoint 2,500: very likely not of this run (or a bad file).",
            "without it, 2,400 -> 2,600 is an ordinary step",
            "3,300 -> 3,400: the maps changed ",
            "6 steps from 1,000 to 1,500, 3 samples: a layer absorbed all relevance.",
            "THEN",
        )
    ]
    assert where == sorted(where)


def test_a_condition_that_lasts_is_one_row(report: dict[str, Any]) -> None:
    assert len(report["pathologies"]) == 18
    (condition,) = report["conditions"]
    assert (condition["first_step"], condition["last_step"]) == (1000, 1500)
    assert (condition["steps"], condition["samples"]) == (6, [2, 3, 4])
    rows = [line for line in as_table(report, [], 10, 120).splitlines() if "vanished_rel" in line]
    assert sum("steps 1,000 to 1,500" in row for row in rows) == 1


def test_a_calm_run_says_what_is_largest_and_what_would_not_be_seen() -> None:
    text = " ".join(as_short(report_on(calm_run()), 80).split())
    assert "LOOK FIRST nothing: no checkpoint and no transition is unusual." in text
    assert "The largest change is" in text
    assert "THEN nothing: 40 transitions within their fences." in text
    assert "START 0 -> 800: changes up to" in text
    assert "times) the usual change to be reported here" in text


def test_a_run_of_few_transitions_says_so() -> None:
    text = " ".join(as_short(report_on(calm_run(6)), 80).split())
    assert "nothing can be called unusual: 5 transitions are too few (20 needed)." in text
    assert "START" not in text
    assert "NOT SEEN" not in text


def test_many_findings_are_counted() -> None:
    facts = calm_run()
    change = facts.steps.weight_change.copy()
    change[5:40:3] = 0  # twelve duplicates, none next to another
    report = report_on(with_steps(facts, weight_change=change))
    assert len(report["first"]) == 3
    text = short_report(report, 100)
    assert f"and {len(report['then']) - 8} more: --details" in text


def test_a_report_of_version_0_1_is_shown_as_it_was(report: dict[str, Any]) -> None:
    new = ("first", "then", "weights", "start", "conditions", "cell_groups", "layers", "least",
           "expected_false")  # fmt: skip
    old = {name: value for name, value in report.items() if name not in new}
    for kind in ("steps", "samples", "cells", "pixels", "pathologies"):
        old[kind] = [{k: v for k, v in e.items() if k != "usual"} for e in old[kind]]
    for total in old["totals"].values():
        total.pop("compared_with", None)
    text = as_short(old, 80)
    assert "LOOK FIRST" not in text
    assert "pathologies: 18" in text
    assert max(map(len, text.splitlines())) <= 80
    assert np.isfinite([entry["value"] for entry in old["steps"]]).all()
