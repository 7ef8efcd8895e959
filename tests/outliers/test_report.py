"""The report names what was planted, where it was planted, and nothing else."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lrpdyn.outliers import criteria
from lrpdyn.outliers.criteria import Criteria
from lrpdyn.outliers.entry_causes import EntryCauses
from lrpdyn.outliers.facts import Pixels, Question, RunFacts, Wanted
from tests.outliers.made_up import calm_run, report_on, spiked, with_changes, with_steps


def names(entry: dict[str, Any]) -> list[str]:
    return [cause["cause"] for cause in entry["causes"]]


def everywhere(report: dict[str, Any]) -> Iterator[str]:
    for kind in ("cells", "steps", "samples", "pathologies"):
        for entry in report[kind]:
            yield from names(entry)


def evidence(entry: dict[str, Any], name: str) -> str:
    return next(cause["evidence"] for cause in entry["causes"] if cause["cause"] == name)


def test_a_calm_run_has_nothing_to_tell(calm: RunFacts) -> None:
    report = report_on(calm)
    assert report["pathologies"] == []
    assert report["totals"]["cells"]["far"] == 0
    assert set(everywhere(report)) == {"score_growth", "shape_change", "unexplained"}
    json.dumps(report, allow_nan=False)


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


def test_growth_explains_only_where_the_score_grew(calm: RunFacts) -> None:
    share = calm.changes.scale_share.copy()
    share[20, 3] = 0.9
    facts = spiked(with_changes(calm, scale_share=share), 20, 3)
    assert "unexplained" in names(report_on(facts)["cells"][0])
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


def test_vanished_relevance_is_told_with_or_without_a_fence(calm: RunFacts) -> None:
    sums = calm.steps.relevance_l1.copy()
    sums[21, 3] = 0
    facts = with_steps(calm, relevance_l1=sums, relevance_sum=sums)
    report = report_on(facts)
    (entry,) = report["pathologies"]
    assert entry["where"] == {"step": 2100, "sample": 3}
    assert names(entry) == ["vanished_relevance"]
    assert entry["severity"] == "none"
    cells = {
        (c["where"]["from_step"], c["where"]["sample"])
        for c in report["cells"]
        if "vanished_relevance" in names(c)
    }
    assert cells == {(2000, 3), (2100, 3)}
    # A score of zero has nothing to lose.
    score = calm.steps.score.copy()
    score[21, 3] = 0
    assert report_on(with_steps(facts, score=score))["pathologies"] == []


def test_a_denominator_next_to_nothing(calm: RunFacts) -> None:
    support, score = calm.steps.support.copy(), calm.steps.score.copy()
    support[21, 3], score[21, 3] = 0.0005, -2.0
    sums = 0.97 * score
    facts = with_steps(
        calm, support=support, score=score, relevance_sum=sums, relevance_l1=np.abs(sums)
    )
    report = report_on(facts)
    (entry,) = report["pathologies"]
    assert names(entry) == ["unstable_denominator"]
    assert "-2 is 0.0005 of it" in evidence(entry, "unstable_denominator")
    cell = next(c for c in report["cells"] if "unstable_denominator" in names(c))
    assert {"negative_score", "score_crosses_zero"} <= set(names(cell))
    assert "weak" in evidence(cell, "negative_score")
    # Another rule does not divide by the support alone.
    other = report_on(replace(facts, question=Question(gives_only_support=False, target="argmax")))
    assert other["pathologies"] == []
    assert "negative_score" not in set(everywhere(other))
    # Where a bias absorbed the relevance, nothing was divided by it.
    absorbed = np.abs(sums)
    absorbed[21, 3] = 0.1
    found = report_on(with_steps(facts, relevance_l1=absorbed, relevance_sum=-absorbed))
    assert found["pathologies"] == []


def test_a_jump_names_the_layer_and_the_transition(calm: RunFacts) -> None:
    change = calm.steps.weight_change.copy()
    change[21, 1] = 0.5
    report = report_on(spiked(with_steps(calm, weight_change=change), 20))
    jumps = [entry for entry in report["steps"] if "weight_jump" in names(entry)]
    assert [entry["where"]["to_step"] for entry in jumps] == [2100]
    assert evidence(jumps[0], "weight_jump").startswith("last moved by 50 %")
    assert "unexplained" not in names(report["cells"][0])


def test_usual_changes_of_weights_are_the_same_in_blocks_and_take_little(
    calm: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Criteria(calm).weight_ratio
    near = calm.steps.weight_change[10:31, 1]
    assert whole[20, 1] == pytest.approx(near[10] / np.median(near))
    assert np.isnan(whole[0]).all()
    monkeypatch.setattr(criteria, "AT_ONCE", 7)
    np.testing.assert_array_equal(Criteria(calm).weight_ratio, whole)
    long = calm_run(20_000, 1)
    monkeypatch.undo()
    tracemalloc.start()
    _ = Criteria(long).weight_ratio
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000 * 500


def test_a_long_way_is_no_jump_but_a_gap(calm: RunFacts) -> None:
    step = calm.steps.step.copy()
    step[21:] += 900
    change = calm.steps.weight_change.copy()
    change[21] *= 8
    report = report_on(with_steps(calm, step=step, weight_change=change))
    gaps = [entry for entry in report["steps"] if "step_gap" in names(entry)]
    assert [(e["where"]["from_step"], e["where"]["to_step"]) for e in gaps] == [(2000, 3000)]
    assert evidence(gaps[0], "step_gap") == "10 times the usual distance"
    assert "weight_jump" not in set(everywhere(report))


def test_a_long_way_is_also_told_per_unit_of_step(calm: RunFacts) -> None:
    step = calm.steps.step.copy()
    step[21:] += 1900
    facts = with_steps(spiked(calm, 20, by=20), step=step)
    strongest = report_on(facts)["steps"][0]
    assert strongest["where"] == {"from_step": 2000, "to_step": 4000}
    assert (strongest["severity"], strongest["severity_per_unit"]) == ("far", "none")
    assert "severity_per_unit" not in report_on(spiked(calm, 20))["steps"][0]


def test_duplicates_dead_layers_and_broken_steps(calm: RunFacts) -> None:
    change, dead = calm.steps.weight_change.copy(), calm.steps.dead.copy()
    change[10], dead[20, 0] = 0, 0.95
    finite = calm.steps.finite.copy()
    finite[40] = False
    broken = (*calm.steps.broken[:40], ("the weights of first", "the outputs"))
    facts = with_steps(calm, weight_change=change, dead=dead, finite=finite, broken=broken)
    report = report_on(facts)
    found = [(entry["where"]["step"], *names(entry)) for entry in report["pathologies"]]
    assert found == [(4000, "not_finite"), (1000, "duplicate_checkpoint"), (2000, "dead_layer")]
    texts = [entry["causes"][0]["evidence"] for entry in report["pathologies"]]
    assert texts[0] == "NaN or infinity in the weights of first, the outputs"
    assert texts[1] == "all weights are those of step 900"
    assert texts[2] == "first: 95 % of its units are dead, usually 40 %"


def test_a_layer_that_is_usually_half_dead_is_healthy(calm: RunFacts) -> None:
    generator = np.random.default_rng(0)
    dead = generator.uniform(0.42, 0.68, calm.steps.dead.shape)
    assert report_on(with_steps(calm, dead=dead))["pathologies"] == []


@pytest.mark.parametrize(("usual", "found"), [(0.1, [0.75]), (0.7, [0.92])])
def test_a_layer_is_dead_where_less_than_a_third_of_what_lives_is_left(
    calm: RunFacts, usual: float, found: list[float]
) -> None:
    dead = np.full(calm.steps.dead.shape, usual)
    dead[20:22, 0] = [1 - 0.36 * (1 - usual), found[0]]
    wrong = report_on(with_steps(calm, dead=dead))["pathologies"]
    assert [entry["value"] for entry in wrong] == found


def test_a_flip_is_a_cause_only_where_the_question_follows_it(calm: RunFacts) -> None:
    argmax = calm.steps.argmax.copy()
    argmax[21:, 3] = 2
    facts = spiked(with_steps(calm, argmax=argmax), 20, 3)
    entry = report_on(facts)["cells"][0]
    assert evidence(entry, "action_flip") == "unit 0 -> 2"
    fixed = report_on(replace(facts, question=Question(gives_only_support=True, target="modal")))
    assert "action_flip" not in set(everywhere(fixed))


def test_lost_relevance_is_told_against_the_usual(calm: RunFacts) -> None:
    sums = calm.steps.relevance_sum.copy()
    sums[21, 3] *= 0.3
    report = report_on(with_steps(calm, relevance_sum=sums, relevance_l1=sums))
    cells = [c for c in report["cells"] if "conservation_failure" in names(c)]
    assert {(c["where"]["from_step"], c["where"]["sample"]) for c in cells} == {
        (2000, 3),
        (2100, 3),
    }
    assert "3 % -> 70.9 %, usually 3 %" in evidence(
        next(c for c in cells if c["where"]["from_step"] == 2000), "conservation_failure"
    )
    # Where all lose as much, it is the rule and its biases, no failure.
    usual = report_on(with_steps(calm, relevance_sum=0.3 * calm.steps.score))
    assert "conservation_failure" not in set(everywhere(usual))


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


def test_pixels_have_the_causes_of_their_largest_transition(calm: RunFacts) -> None:
    relative, of_third = calm.pixels.relative.copy(), calm.pixels.of_sample(3)
    relative[3, 1, 0], of_third.largest[1, 0], of_third.largest_at[1, 0] = 1.9, 0.8, 20
    argmax = calm.steps.argmax.copy()
    argmax[21:, 3] = 2
    pixels = Pixels(relative, lambda n: of_third if n == 3 else calm.pixels.of_sample(n))
    report = report_on(replace(with_steps(calm, argmax=argmax), pixels=pixels))
    strongest = report["pixels"][0]
    assert strongest["where"] == {"sample": 3, "row": 1, "column": 0}
    assert evidence(strongest, "action_flip") == ("80 % of its path is 2,000 -> 2,100: unit 0 -> 2")
    assert names(report["pixels"][1]) == ["unexplained"]


def test_spikes_are_told_from_shifts() -> None:
    facts = calm_run(61)
    change = facts.changes.change.copy()
    change[45:] *= 6
    report = report_on(spiked(with_changes(facts, change=change), 20))
    assert [shift["step"] for shift in report["shifts"]] == [4500]
    forms = {entry["where"]["from_step"]: entry["form"] for entry in report["steps"]}
    assert forms[2000] == "spike"
    assert {forms[step] for step in range(4500, 6000, 100)} == {"shift"}


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


def test_evidence_whose_checkpoint_is_gone_is_unavailable(calm: RunFacts) -> None:
    sums = calm.steps.relevance_l1.copy()
    sums[21, 3] = 0
    facts = with_steps(calm, relevance_l1=sums, relevance_sum=sums)
    gone = {"samples": {}, "gone": True}
    report = report_on(facts, lambda wanted: {(21, "vanished_relevance"): gone})
    assert evidence(report["pathologies"][0], "vanished_relevance").endswith(
        "by layer: unavailable"
    )


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
                      left_out=np.zeros(0, dtype=bool))  # fmt: skip
    report = report_on(replace(facts, changes=changes))
    assert report["cells"] == report["steps"] == []
    assert report["totals"]["samples"]["zeros"] == 1


def test_causes_are_told_in_the_order_of_their_gravity(calm: RunFacts) -> None:
    sums, argmax = calm.steps.relevance_l1.copy(), calm.steps.argmax.copy()
    sums[21, 3], argmax[21, 3] = 0, 1
    facts = with_steps(calm, relevance_l1=sums, relevance_sum=sums, argmax=argmax)
    found = [cause["cause"] for cause in EntryCauses(Criteria(facts)).of_cell(20, 3)]
    assert found == ["vanished_relevance", "action_flip", "shape_change", "score_growth"]
