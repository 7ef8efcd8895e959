"""The sections of a report next to the outliers, as a person reads them."""

from __future__ import annotations

from lrpdyn.outliers.facts import RunFacts
from lrpdyn.outliers.render import as_table
from lrpdyn.outliers.render_context import context
from tests.outliers.made_up import report_on


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
    assert "beside log.csv:r" in text
    assert "-0.40" in text


def test_what_a_report_has_not_is_not_told() -> None:
    assert context({}, tabbed, "") == []
    assert context({"phases": None, "regions": None, "agreement": None}, tabbed, "") == []


def test_phases_that_are_none_say_why() -> None:
    phases = {"of": "maps", "borders": [], "explained": 0.0, "why": "it drifts steadily"}
    assert context({"phases": phases}, tabbed, "## ") == [
        "## phases of maps: none told; it drifts steadily", "",
    ]  # fmt: skip


def test_regions_are_told_at_the_first_the_middle_and_the_last_step() -> None:
    steps = [0, 1000, 2000, 3000, 4000]
    regions = {
        "rule": "gamma", "steps": steps, "names": ["ball"], "share": [[0.1, 0.2, 0.3, 0.4, None]],
        "effect": [[1.0, 2.0, 3.0, 4.0, 5.0]], "agreement": [None], "agreement_over_regions": 0.5,
    }  # fmt: skip
    lines = context({"regions": regions}, tabbed, "")
    assert lines[2:4] == [
        "region\tat 0\tat 2,000\tat 4,000\tagreement over steps",
        "ball\t10.0%, 1\t30.0%, 3\t-, 5\t-",
    ]
    assert lines[4].endswith("median over steps: +0.50")


def test_a_curve_of_few_steps_has_no_p() -> None:
    series = [{"series": "change", "steps": 4, "rank_correlation": None, "p": None}]
    lines = context({"curve": {"source": "log.csv:r", "series": series}}, tabbed, "")
    assert lines[3] == "change\t-\ttoo few steps\t4"
