"""The report lists what is an outlier, how far out, and where; a calm run has nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from lrpdyn.outliers.facts import RunFacts, Wanted
from tests.outliers.made_up import (
    calm_run,
    everywhere,
    evidence,
    names,
    report_on,
    spiked,
    with_changes,
    with_steps,
)


def test_a_calm_run_has_nothing_to_tell(calm: RunFacts) -> None:
    report = report_on(calm)
    assert report["pathologies"] == []
    assert report["totals"]["cells"]["far"] == 0
    assert set(everywhere(report)) == {"score_growth", "shape_change", "unexplained"}
    json.dumps(report, allow_nan=False)


def test_pixels_have_the_causes_of_their_largest_transition(calm: RunFacts) -> None:
    relative, third = calm.relative.copy(), calm.sums(slice(3, 4))
    relative[3, 1, 0], third.largest[0, 1, 0], third.largest_at[0, 1, 0] = 1.9, 0.8, 20
    argmax = calm.steps.argmax.copy()
    argmax[21:, 3] = 2
    facts = replace(calm, relative=relative, sums=lambda n: third if n.start == 3 else calm.sums(n))
    report = report_on(with_steps(facts, argmax=argmax))
    strongest = report["pixels"][0]
    assert strongest["where"] == {"sample": 3, "row": 1, "column": 0}
    assert evidence(strongest, "action_flip") == ("80 % of its path is 2,000 -> 2,100: unit 0 -> 2")
    assert names(report["pixels"][1]) == ["unexplained"]


def test_spikes_are_told_from_shifts() -> None:
    facts = calm_run(61)
    change = facts.changes.change.copy()
    change[45:] *= 6
    outline = facts.steps.outline.copy()
    outline[21] = [0.7, 0.1, 0.1, 0.1]  # and back again
    outline[31:] = [0.4, 0.3, 0.2, 0.1]
    facts = with_steps(with_changes(facts, change=change), outline=outline)
    report = report_on(spiked(spiked(facts, 20), 30))
    assert [shift["step"] for shift in report["shifts"]] == [4500]
    forms = {entry["where"]["from_step"]: entry["form"] for entry in report["steps"]}
    assert (forms[0], forms[2000], forms[3000]) == ("start", "spike", "lasting")
    assert {forms[step] for step in range(4500, 6000, 100)} == {"shift"}
    assert {entry["form"] for entry in report_on(calm_run(11))["steps"]} == {None}


def test_a_run_of_two_steps_has_a_report() -> None:
    report = report_on(calm_run(2, 1))
    assert report["totals"]["cells"]["fence_far"] is None
    assert report["totals"]["steps"]["values"] == 1
    assert report["shifts"] == []


def test_nothing_is_left_where_no_transition_is_finite() -> None:
    facts = calm_run(2)
    empty = np.zeros((0, 8))
    none = np.zeros(0, dtype=np.int64)
    changes = replace(facts.changes, before=none, after=none, change=empty, scale_share=empty,
                      scale_factor=empty, growth_share=empty, left_out=np.zeros(0, dtype=bool))  # fmt: skip
    report = report_on(replace(facts, changes=changes))
    assert report["cells"] == report["steps"] == []
    assert report["totals"]["samples"]["zeros"] == 1


def test_evidence_by_layer_is_asked_for_where_something_is_flagged(calm: RunFacts) -> None:
    argmax = calm.steps.argmax.copy()
    argmax[21:, 3] = 2
    facts = spiked(with_steps(calm, argmax=argmax), 20, 3)
    asked: list[Wanted] = []

    def look(wanted: Wanted) -> dict[tuple[int, str], dict[str, Any]]:
        asked.append(wanted)
        return {
            (21, "action_flip"): {"samples": {3: 0.75}},
            (21, "unstable_denominator"): {"samples": {3: "50 % of |R| in last"}},
        }

    report = report_on(facts, look)
    assert asked[0].places == (20, 21)
    assert asked[0].flips == {20: (3,)}
    assert len(asked[0].usual) == 8
    flip = next(c for c in report["cells"][0]["causes"] if c["cause"] == "action_flip")
    assert flip["share"] == 0.75
    assert "50 % of |R| in last" in evidence(report["cells"][0], "unstable_denominator")
    assert [entry["where"] for entry in report["pathologies"]] == [{"step": 2100, "sample": 3}]
