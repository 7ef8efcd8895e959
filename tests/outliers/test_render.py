"""The report as a person reads it, and as scripts do."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lrpdyn.outliers.facts import RunFacts
from lrpdyn.outliers.render import (
    KINDS,
    as_csv,
    as_json,
    as_markdown,
    as_table,
    contains,
    context,
    curve_lines,
    summary,
)
from tests.outliers.made_up import calm_run, report_on, spiked, with_steps


@pytest.fixture
def report(calm: RunFacts) -> dict[str, Any]:
    sums = calm.steps.relevance_l1.copy()
    sums[21, 2:6] = 0
    facts = with_steps(calm, relevance_l1=sums, relevance_sum=sums)
    made = report_on(spiked(facts, 10, 3))
    return {**made, "phases": None, "regions": None, "agreement": None}


def test_a_row_says_where_how_far_and_why(report: dict[str, Any]) -> None:
    lines = as_table(report, ["cells"], 1, 240).splitlines()
    assert lines[0].startswith("LOOK FIRST  step 2,100, 4 samples: a layer absorbed all relevance")
    assert "pathologies: 4 (wrong by their own criterion, no fence needed)" in lines
    # One row for all samples of a step.
    (row,) = (line for line in lines if "vanished_relevance " in line and "4: 2, 3, 4, 5" in line)
    assert "step 2,100" in row
    assert "sum|R| is 0" in row
    assert row.count("step 2,100") == 1
    (row,) = (line for line in lines if "1,000 -> 1,100, sample 3" in line)
    assert " x extreme  extreme " in row
    assert "shape_change 80 % (the explanation itself moved)" in row
    assert "unexplained (none of the known causes is present)" in row
    told = lines[lines.index("what to do next") :]
    assert any("unexplained" in line and "no known cause was found." in line for line in told)
    assert any("vanished_relevance" in line and "--rule gamma" in line for line in told)
    assert not any("weight_jump" in line for line in told)


def test_csv_has_a_row_for_each_entry(report: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(report, KINDS, None))))
    assert len(rows) == 4 + sum(len(report[kind]) for kind in KINDS)
    (strongest,) = (row for row in rows if (row["kind"], row["rank"]) == ("cells", "1"))
    assert float(strongest["value"]) == report["cells"][0]["value"]
    assert strongest["causes"] == "shape_change score_growth unexplained"
    assert strongest["tail"] == ""  # each cell has a fence of its own, and no tail
    assert next(row["form"] for row in rows if row["kind"] == "steps") == "lasting"
    assert len(as_csv(report, ["cells"], 2).splitlines()) == 1 + 2 + 2


def test_json_is_the_stored_report_less_what_was_not_asked_for(report: dict[str, Any]) -> None:
    assert json.loads(as_json(report, KINDS, None)) == report
    cut = json.loads(as_json(report, ["cells"], 2))
    assert len(cut["cells"]) == 2
    assert "steps" not in cut


def test_markdown_is_piped(report: dict[str, Any]) -> None:
    text = as_markdown(report, ["cells"], 1)
    assert "## pathologies: 4" in text
    assert "| where | value | beyond | severity | why |" in text
    assert "## what to do next" in text


def test_summaries_say_why_there_is_no_fence() -> None:
    few = report_on(calm_run(5, 3))
    assert "too few to say which is unusual" in summary(few, "cells")
    alike = report_on(replace(calm_run(), relative=np.ones((8, 2, 2))))
    assert "too similar to say which is unusual" in summary(alike, "pixels")
    assert "compared with the 14 transitions around it" in summary(alike, "steps")


def test_what_is_looked_for(report: dict[str, Any], calm: RunFacts) -> None:
    assert contains(report, "pathology")
    assert contains(report, "far")
    assert contains(report, "mild")
    assert not contains(report_on(calm), "pathology")


def test_shifts_are_told() -> None:
    facts = calm_run(61)
    change = facts.changes.change
    change[45:] *= 6
    text = as_table({**report_on(facts)}, ["steps"], 3)
    assert "from step 4,500 on changes are" in text
    assert "a shift, not a spike" in text
    assert np.isfinite(change).all()


def tabbed(rows: list[list[str]]) -> list[str]:
    """Draw a table of which every cell can be told."""
    return ["\t".join(row) for row in rows]


def test_phases_regions_agreement_and_curve_are_told(calm: RunFacts) -> None:
    told = {
        **report_on(calm),
        "phases": {"of": "maps", "borders": [{"step": 300, "sure": 0.93}], "explained": 0.6, "why": ""},
        "regions": {
            "rule": "gamma",
            "steps": [0, 100, 200], "names": ["ball"], "share": [[0.01, None, 0.02]],
            "effect": [[0.1, 0.2, None]], "agreement": [0.5], "agreement_over_regions": None,
        },
        "agreement": {"rule": "gamma", "steps": [{"step": 0, "rule": 0.31, "gradient": None}]},
        "curve": {"source": "log.csv:r", "series": [
            {"series": "change", "steps": 40, "rank_correlation": -0.4, "p": 0.25}]},
    }  # fmt: skip
    text = as_table(told, ["cells"], 1)
    assert "a new one begins at 300 (93 % sure); they describe 60 % of the variation" in text
    assert "1.0%, 0.1" in text
    assert "step 0: +0.31 (gradient x input -)" in text
    assert "compared with log.csv:r" in text
    assert "-0.40" in text


def test_what_a_report_has_not_is_not_told() -> None:
    assert context({}, tabbed, "") == []
    assert context({"phases": None, "regions": None, "agreement": None}, tabbed, "") == []


def test_phases_that_are_none_say_why() -> None:
    phases = {"of": "maps", "borders": [], "explained": 0.0, "why": "it drifts steadily"}
    assert context({"phases": phases}, tabbed, "## ") == [
        "## phases of maps: none found; it drifts steadily", "",
    ]  # fmt: skip


def test_regions_are_told_at_the_first_the_middle_and_the_last_step() -> None:
    steps = [0, 1000, 2000, 3000, 4000]
    regions = {
        "rule": "gamma", "steps": steps, "names": ["ball"], "share": [[0.1, 0.2, 0.3, 0.4, None]],
        "effect": [[1.0, 2.0, 3.0, 4.0, 5.0]], "agreement": [None], "agreement_over_regions": 0.5,
    }  # fmt: skip
    lines = context({"regions": regions}, tabbed, "")
    assert lines[2:4] == [
        "region\tat 0\tat 2,000\tat 4,000\tagreement",
        "ball\t10.0%, 1\t30.0%, 3\t-, 5\t-",
    ]
    assert lines[5].endswith("median over steps: +0.50")


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_tables_keep_to_the_width_and_in_one_line_where_they_fit(
    report: dict[str, Any], width: int
) -> None:
    series = [{"series": "distance_from_first_l1", "steps": 4, "rank_correlation": 0.4, "p": None}]
    curve = curve_lines({"curve": {"source": "log.csv:r", "series": series}}, width)
    assert (len(curve) == 5) == (width >= 80)
    regions = {
        "rule": "gamma", "steps": [0, 1, 2], "names": ["opponent"], "share": [[0.1, 0.2, 0.3]],
        "effect": [[1.0, 2.0, 3.0]], "agreement": [0.5], "agreement_over_regions": 0.5,
    }  # fmt: skip
    text = as_table({**report, "regions": regions}, KINDS, 2, width)
    assert max(map(len, [*curve[2:], *text.splitlines()])) <= width


def test_columns_that_say_nothing_are_omitted() -> None:
    text = as_table(report_on(calm_run(5, 3)), ["cells"], 2, 100)
    assert "beyond" not in text
    assert "severity" not in text


def test_a_curve_of_few_steps_has_no_p() -> None:
    series = [{"series": "change", "steps": 4, "rank_correlation": None, "p": None}]
    lines = context({"curve": {"source": "log.csv:r", "series": series}}, tabbed, "")
    assert lines[3] == "change\t-\ttoo few steps\t4"
