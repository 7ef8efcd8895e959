"""Every entry lists all of its causes with their shares, and what is left is unexplained."""

from __future__ import annotations

import numpy as np
import pytest

from lrpdyn.outliers.criteria import Criteria
from lrpdyn.outliers.entry_causes import EntryCauses
from lrpdyn.outliers.facts import RunFacts
from tests.outliers.made_up import (
    evidence,
    names,
    report_on,
    spiked,
    with_changes,
    with_steps,
)


def test_an_outlier_without_a_cause_is_unexplained(calm: RunFacts) -> None:
    report = report_on(spiked(calm, 20, 3))
    strongest = report["cells"][0]
    assert strongest["where"] == {"from_step": 2000, "to_step": 2100, "sample": 3}
    assert strongest["severity"] == "far"
    assert strongest["value"] > strongest["fence_far"] > strongest["fence_mild"]
    assert names(strongest) == ["shape_change", "score_growth", "unexplained"]
    assert strongest["causes"][0]["share"] == pytest.approx(0.8)
    assert report["totals"]["cells"]["far"] == 1
    assert set(report["advice"]) >= {"unexplained", "shape_change"}


def test_growth_explains_what_a_factor_removes(calm: RunFacts) -> None:
    share = calm.changes.scale_share.copy()
    share[20, 3] = 0.9  # along the mean direction of both maps: says nothing of growth
    facts = spiked(with_changes(calm, scale_share=share), 20, 3)
    assert "unexplained" in names(report_on(facts)["cells"][0])
    facts = spiked(with_changes(calm, growth_share=share), 20, 3)
    score = calm.steps.score.copy()
    score[21, 3] *= 3
    grown = report_on(with_steps(facts, score=score, relevance_sum=0.97 * score))["cells"][0]
    assert names(grown) == ["score_growth", "shape_change"]
    assert "x 3" in evidence(grown, "score_growth") or "x 2.9" in evidence(grown, "score_growth")


def test_a_map_that_turned_round_did_not_grow(calm: RunFacts) -> None:
    share, factor = calm.changes.scale_share.copy(), calm.changes.scale_factor.copy()
    share[20, 3], factor[20, 3] = 0.97, -1.2
    score = calm.steps.score.copy()
    score[21, 3] *= 1.3
    facts = with_steps(calm, score=score, relevance_sum=0.97 * score)
    entry = report_on(spiked(with_changes(facts, scale_share=share, scale_factor=factor), 20, 3))
    strongest = entry["cells"][0]
    assert names(strongest) == ["shape_change", "unexplained"]
    assert strongest["causes"][0]["share"] == 1
    assert "turned round, x -1.2" in evidence(strongest, "shape_change")


def test_causes_of_sums_have_the_share_of_the_change_they_are_in(calm: RunFacts) -> None:
    sums = calm.steps.relevance_l1.copy()
    sums[21, :2] = 0
    change = np.full(calm.changes.change.shape, 0.1)
    change[20] = [3, 1, *[1] * 6]
    facts = with_changes(with_steps(calm, relevance_l1=sums, relevance_sum=sums), change=change)
    report = report_on(facts)
    step = next(e for e in report["steps"] if e["where"]["to_step"] == 2100)
    vanished = next(c for c in step["causes"] if c["cause"] == "vanished_relevance")
    assert vanished["share"] == pytest.approx(0.4)
    assert vanished["evidence"] == "in 2 of 8 samples"
    sample = next(e for e in report["samples"] if e["where"] == {"sample": 0})
    vanished = next(c for c in sample["causes"] if c["cause"] == "vanished_relevance")
    assert vanished["share"] == pytest.approx(3.1 / (3 + 39 * 0.1))
    assert vanished["evidence"] == "in 2 of 40 transitions"


def test_causes_are_told_in_the_order_of_their_gravity(calm: RunFacts) -> None:
    sums, argmax = calm.steps.relevance_l1.copy(), calm.steps.argmax.copy()
    sums[21, 3], argmax[21, 3] = 0, 1
    facts = with_steps(calm, relevance_l1=sums, relevance_sum=sums, argmax=argmax)
    found = [cause["cause"] for cause in EntryCauses(Criteria(facts)).of_cell(20, 3)]
    assert found == ["vanished_relevance", "action_flip", "shape_change", "score_growth"]
