"""Each cause is named where it was planted, with its evidence, and nowhere else."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lrpdyn.outliers.causes import CAUSES, Cause, wherever_present
from lrpdyn.outliers.facts import RunFacts
from lrpdyn.outliers.render import KINDS, as_table
from tests.outliers.made_up import (
    everywhere,
    evidence,
    names,
    report_on,
    spiked,
    with_steps,
)


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
    other = report_on(replace(facts, gives_only_support=False))
    assert other["pathologies"] == []
    assert "negative_score" not in set(everywhere(other))
    # Relevance of both signs that cancels below says nothing of the last layer.
    cancelling = np.where(score == -2, np.abs(score), 1e5 * np.abs(score))
    assert report_on(with_steps(facts, relevance_l1=cancelling))["pathologies"] == [entry]
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


def test_a_long_way_is_a_gap(calm: RunFacts) -> None:
    step = calm.steps.step.copy()
    step[21:] += 900
    report = report_on(with_steps(calm, step=step))
    gaps = [entry for entry in report["steps"] if "step_gap" in names(entry)]
    assert [(e["where"]["from_step"], e["where"]["to_step"]) for e in gaps] == [(2000, 3000)]
    assert evidence(gaps[0], "step_gap") == "10 times as long as those around it"
    assert "step_gap" not in set(everywhere(report_on(calm)))


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


def measured(calm: RunFacts, **at: float) -> RunFacts:
    """Return a run measured at every tenth step, where random orders reach .1; `at` has others."""
    rule, band = np.full(41, np.nan), np.full((41, 2), np.nan)
    rule[::10], band[::10] = 0.4, (-0.1, 0.1)
    for place, value in at.items():
        rule[int(place[1:])] = value
    return with_steps(calm, faithfulness=rule, faithfulness_band=band)


def test_maps_that_lost_their_meaning_are_told_without_a_fence(calm: RunFacts) -> None:
    report = report_on(measured(calm, _20=0.1, _30=-0.3))
    assert [(entry["where"], names(entry)) for entry in report["pathologies"]] == [
        ({"step": 2000}, ["map_lost_meaning"]),
        ({"step": 3000}, ["map_lost_meaning"]),
    ]
    assert evidence(report["pathologies"][0], "map_lost_meaning") == (
        "faithfulness 0.10, where random orders reach -0.10 to 0.10; it was 0.40 before (median of the "
        "measured steps)"
    )
    assert {one["kind"] for one in report["first"]} == {"map_lost_meaning"}
    assert "map_lost_meaning" in report["advice"]
    # The transition into the step has the cause, too.
    spike = spiked(measured(calm, _20=0.1), 19)
    entry = next(e for e in report_on(spike)["steps"] if e["where"]["to_step"] == 2000)
    assert "map_lost_meaning" in names(entry)


@pytest.mark.parametrize(
    "at",
    [
        {},
        {"_20": 0.11},  # above what random orders reach
        {"_0": 0.0, "_10": 0.19, "_20": 0.05},  # never had much
        {"_0": 0.0},  # nothing was measured before
        {"_0": 0.2, "_10": 0.2, "_20": 0.05},  # twice what random orders reach is not more
    ],
)
def test_maps_that_did_not(calm: RunFacts, at: dict[str, float]) -> None:
    assert report_on(measured(calm, **at))["pathologies"] == []


def test_where_the_score_is_gone_a_map_has_nothing_to_say(calm: RunFacts) -> None:
    score = calm.steps.score.copy()
    score[15:] *= 0.45
    facts = with_steps(calm, score=score, relevance_sum=0.97 * score, relevance_l1=0.97 * score)
    assert report_on(measured(facts, _20=0.0))["pathologies"] == []
    assert len(report_on(measured(facts, _30=0.0))["pathologies"]) == 1  # it held since


def test_a_flip_is_a_cause_only_where_the_question_follows_it(calm: RunFacts) -> None:
    argmax = calm.steps.argmax.copy()
    argmax[21:, 3] = 2
    facts = spiked(with_steps(calm, argmax=argmax), 20, 3)
    entry = report_on(facts)["cells"][0]
    assert evidence(entry, "action_flip") == "unit 0 -> 2"
    fixed = report_on(replace(facts, follows_preference=False))
    assert "action_flip" not in set(everywhere(fixed))


def test_evidence_whose_checkpoint_is_gone_is_unavailable(calm: RunFacts) -> None:
    sums = calm.steps.relevance_l1.copy()
    sums[21, 3] = 0
    facts = with_steps(calm, relevance_l1=sums, relevance_sum=sums)
    gone = {"samples": {}, "gone": True}
    report = report_on(facts, lambda wanted: {(21, "vanished_relevance"): gone})
    assert evidence(report["pathologies"][0], "vanished_relevance").endswith(
        "by layer: unavailable"
    )


LARGE = Cause(
    name="large_score",
    meaning="the score is out of proportion",
    advice="Look at the last layer's weights.",
    criterion="abs(score) is above ten times its median",
    where="sample of a step",
    present=lambda known: abs(known.steps.score) > 10 * np.median(abs(known.steps.score)),
    evidence=lambda known, step, sample: f"score {known.steps.score[step, sample]:.3g}",
    pathologies=wherever_present,
)


def test_a_cause_that_is_added_to_the_list_is_in_the_report_with_its_advice(
    calm: RunFacts, request: pytest.FixtureRequest
) -> None:
    score = calm.steps.score.copy()
    score[21, 3] = 80
    sums = 0.97 * score
    facts = spiked(with_steps(calm, score=score, relevance_sum=sums, relevance_l1=sums), 20, 3)
    assert "large_score" not in set(everywhere(report_on(facts)))
    CAUSES.append(LARGE)
    request.addfinalizer(CAUSES.pop)
    report = report_on(facts)
    assert [entry["where"] for entry in report["pathologies"]] == [{"step": 2100, "sample": 3}]
    assert evidence(report["cells"][0], "large_score") == "score 80"
    assert "unexplained" not in names(report["cells"][0])
    text = as_table({**report, "phases": None}, KINDS, 3)
    assert "the score is out of proportion. Look at the last layer's weights." in text
    assert "| `large_score` | abs(score) is above ten times its median | yes |" in page(
        "outliers.md"
    )
    assert "| `large_score` | the score is out of proportion |" in page("reference/run-folder.md")


def page(name: str) -> str:
    """Return a page of the documentation as MkDocs gets it."""
    docs = Path(__file__).parents[2] / "docs"
    spec = importlib.util.spec_from_file_location("hook", docs / "reference" / "run_folder.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    file = SimpleNamespace(file=SimpleNamespace(src_uri=name))
    text: str = hook.on_page_markdown((docs / name).read_text(), page=file)
    return text
