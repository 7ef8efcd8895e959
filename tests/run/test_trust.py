"""What is said of the maps of a run is what its manifest holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lrpdyn
from lrpdyn.run.trust import QUESTION, told_apart, trust_lines, trust_text
from tests.pipeline.test_compute import Vectors, mlp_run
from tests.run.measured import by_step


@pytest.fixture(scope="module")
def run(mlps: Path, vectors: Vectors, tmp_path_factory: pytest.TempPathFactory) -> lrpdyn.Run:
    """A run that nobody changes."""
    out = tmp_path_factory.mktemp("trust") / "run"
    return mlp_run(mlps, vectors, out, rule="epsilon", workers=1)


def changed(run: lrpdyn.Run, rule: str | None = None, **checks: Any) -> lrpdyn.Run:
    """Return a run whose checks, and rule, are others."""
    manifest = {**run.manifest, "checks": {**run.manifest["checks"], **checks}}
    if rule is not None:
        manifest["rule"] = {**manifest["rule"], "name": rule}
        manifest["about_rule"] = {"title": rule, "shows_support_only": rule == "zplus"}
    return replace(run, manifest=manifest)


def said(run: lrpdyn.Run, begin: str) -> tuple[str, str]:
    """Return the verdict and the text of the only sentence that begins so."""
    (found,) = (line for line in trust_lines(run) if line[1].startswith(begin))
    return found


def test_what_is_assumed_comes_before_the_sums(run: lrpdyn.Run) -> None:
    architecture = {**run.manifest["architecture"], "assumed": ["ReLU", "no scaling"]}
    assumed = replace(run, manifest={**run.manifest, "architecture": architecture})
    lines = trust_lines(assumed)
    assert lines[1] == ("CARE", "Of the network this is assumed: ReLU; no scaling.")
    assert lines[2][1].startswith("They")


def test_another_rule_than_the_exact_one_is_said(run: lrpdyn.Run) -> None:
    stock = {"exact_rule": "zplus", "largest_difference": 0.25, "cosine": 0.5, "reasons": ["bias"]}
    assert said(changed(run, stock=stock), "epsilon differs") == (
        "CARE",
        "epsilon differs from the exact rule, zplus, by up to 0.25 of the largest relevance (similarity "
        "0.50): bias.",
    )
    verdict, text = said(
        changed(run, stock={**stock, "largest_difference": 1e-5}), "epsilon differs"
    )
    assert verdict == "ok"
    assert text.endswith(": both are right here.")


def test_another_preference_is_said_where_it_is_followed(run: lrpdyn.Run) -> None:
    table = run.transitions["argmax_changed"]
    assert table.any()
    verdict, text = said(run, "In ")
    assert verdict == "note"
    assert text.startswith(f"In {table.sum()} of {table.size} cases the preferred ")
    assert text.endswith("To keep it fixed: --target modal")
    fixed = {**run.manifest["target"], "policy": "modal"}
    lines = trust_lines(replace(run, manifest={**run.manifest, "target": fixed}))
    assert not [text for _, text in lines if "preferred" in text]


def dependence(**cosines: float | None) -> list[dict[str, Any]]:
    """Return what maps depend on at one step."""
    names = ("best_to_worst", "upper_layers", "random", "random_to_random")
    spread = {n: {key: cosines.get(n) for key in ("median", "low", "high")} for n in names}
    return [spread]


def test_sums_are_those_of_the_table(run: lrpdyn.Run) -> None:
    metrics = run.metrics
    share = 100 * metrics["relevance_sum"] / metrics["score"]
    shares = f"{np.median(share):.0f} % of the score ({share.min():.0f} to {share.max():.0f} %)"
    (line,) = [text for _, text in trust_lines(run) if "add up" in text]
    assert f"relevance is {shares}" in line
    size = np.median(metrics["relevance_l1"] / np.abs(metrics["score"]))
    assert f"sum|R| is {size:.2f} times |score| (usual for epsilon: " in line
    assert (metrics["score"] >= 0).all()
    assert said(run, "They are noisy") == (
        "CARE",
        "They are noisy, for terms of both signs cancel. See --rule gamma",
    )


@pytest.mark.parametrize(
    ("median", "verdict", "begin"), [(0.97, "ok", "They add up"), (0.5, "CARE", "They do not add")]
)
def test_what_does_not_add_up(run: lrpdyn.Run, median: float, verdict: str, begin: str) -> None:
    sums = {"least": 0.0, "median": median, "most": 1.0}
    found = changed(
        run, "zplus", relevance_sum_to_score=sums, relevance_l1_to_score=sums, vanished=0,
        negative_scores=0,
    )  # fmt: skip
    line = said(found, begin)
    assert line[0] == verdict
    assert "sum|R|" not in line[1]  # of one sign it is the same number
    assert ("No map is empty, no score negative." in line[1]) is (verdict == "ok")


def test_empty_maps_and_negative_scores(run: lrpdyn.Run) -> None:
    wrong = {"maps": 40, "vanished": 3, "negative_scores": 7, "weak_support": 2}
    plus, both = changed(run, "zplus", **wrong), changed(run, "gamma:0.25", **wrong)
    empty = ("CARE", "3 of 40 maps are empty though their score is not zero.")
    for one in (plus, both):
        assert empty in trust_lines(one)
        assert not [line for line in trust_lines(one) if "No map is empty" in line[1]]
    negative = said(plus, "7 of 40 scores are negative: zplus gives them to the evidence for")
    assert negative[0] == "CARE"
    assert "in 2 hardly anything" in negative[1]
    assert ("note", "7 of 40 scores are negative.") in trust_lines(both)


def test_without_a_recording_nobody_checked_the_network(run: lrpdyn.Run) -> None:
    assert trust_lines(run)[0][0] == "CARE"
    assert trust_lines(run)[0][1].startswith("Nobody checked that this is your network: ")
    expected = {"step": 1200, "samples": 4, "largest_difference": 1e-6, "largest_output": 6.3}
    verdict, text = trust_lines(changed(run, expected=expected))[0]
    assert (verdict, text.partition(":")[0]) == ("ok", "The network is yours")
    assert "as recorded at step 1,200 (4 of 5 samples; largest difference 1e-06 of 6.3)" in text


@pytest.mark.parametrize(
    ("best", "verdict", "words"),
    [
        (0.95, "CARE", "They hardly show"),
        (0.7, "note", "They partly show"),
        (0.2, "ok", "They show"),
    ],
)
def test_how_much_maps_depend_on_the_unit(
    run: lrpdyn.Run, best: float, verdict: str, words: str
) -> None:
    found = changed(run, "zplus", dependence=dependence(best_to_worst=best))
    line = said(found, f"{words} why this class: maps of the best and the worst class ")
    assert line[0] == verdict
    assert f"({best:.2f}; 1 = identical)" in line[1]
    assert line[1].endswith(" To ask that: --rule gamma") is (verdict == "CARE")
    # Advice never names what is set.
    gamma = changed(run, "gamma:0.25", dependence=dependence(best_to_worst=best))
    assert not [text for _, text in trust_lines(gamma) if "--rule gamma" in text]


def test_of_two_outputs_nothing_is_said_of_why(run: lrpdyn.Run) -> None:
    found = trust_lines(changed(run, dependence=dependence(upper_layers=0.95)))
    assert not [text for _, text in found if "why this" in text]
    assert [verdict for verdict, text in found if "the upper layers" in text] == ["CARE"]
    assert not [
        text for _, text in found if "untrained" in text
    ]  # and none of what was not compared


@pytest.mark.parametrize(
    ("own", "among", "verdict", "words"),
    [
        (0.77, 0.96, "ok", "They differ from maps of untrained networks"),
        (0.85, 0.94, "CARE", "They look much like maps of untrained networks"),
        (0.01, 0.02, "note", "No conclusion can be drawn"),
        (0.4, None, "note", "Their similarity 0.40 to maps of an untrained network says little"),
    ],
)
def test_untrained_networks(
    run: lrpdyn.Run, own: float, among: float | None, verdict: str, words: str
) -> None:
    found = changed(run, dependence=dependence(random=own, random_to_random=among))
    line = said(found, words)
    assert line[0] == verdict
    assert f"similarity {own:.2f}" in line[1]


@pytest.mark.parametrize(
    ("rule", "verdict", "words"),
    [
        (0.5, "ok", "They predict what matters: faithfulness 0.50 at the last step (gradient x input "
         "0.30, edges of the picture 0.20, difference from the fill 0.10, random -0.05 to 0.05). "
         "Measured at "),
        (0.301, "ok", "They predict what matters: "),
        (0.21, "CARE", "A cheaper map predicts what matters better: faithfulness 0.21"),
        (0.05, "CARE", "They say nothing here: "),
        (-0.3, "CARE", "They say nothing here: "),
    ],
)  # fmt: skip
def test_faithfulness_at_the_last_step(
    run: lrpdyn.Run, rule: float, verdict: str, words: str
) -> None:
    line = said(changed(run, faithfulness=by_step(run.steps, rule=rule)), words)
    assert line[0] == verdict


@pytest.mark.parametrize(
    ("rule", "verdict", "words"),
    [
        (0.5, "ok", "They predict what matters: "),
        (0.31, "CARE", "They predict only weakly what matters: faithfulness 0.31"),
        (0.21, "CARE", "A cheaper map predicts what matters better: "),
        (0.05, "CARE", "They say nothing here: "),
    ],
)
def test_a_reference_is_advised_where_it_helps_at_that_step(
    run: lrpdyn.Run, rule: float, verdict: str, words: str
) -> None:
    fills = [{"fill": 0.3, "with": 0.65}, {"fill": "blurred", "without": 0.28, "with": 0.71}]
    known = {"reference": "modal", "step": run.steps[-1], "helps": True, "fills": fills}
    checked = {**by_step(run.steps, rule=rule), "reference": known}
    line = said(changed(run, faithfulness=checked), words)
    assert line[0] == verdict
    assert line[1].endswith(
        " With --reference modal it would be 0.65 (with --fill blurred, as a second test, 0.71 instead of "
        "0.28)."
    )
    for other in ({"helps": False}, {"step": run.steps[0]}):
        checked["reference"] = {**known, **other}
        (line,) = (
            one
            for one in trust_lines(changed(run, faithfulness=checked))
            if "faithfulness" in one[1]
        )
        assert "--reference" not in line[1]


def test_a_score_that_is_flat_at_the_end_is_told_by_the_step_before(run: lrpdyn.Run) -> None:
    checked = by_step(run.steps)
    checked["steps"][-1] |= {"abpc": {"rule": None}, "random_band": {"low": None, "high": None}}
    line = said(changed(run, faithfulness=checked), "They predict what matters: ")
    assert f"at step {run.steps[-2]:,} (" in line[1]
    for one in checked["steps"]:
        one["abpc"]["rule"] = None
    line = said(changed(run, faithfulness=checked), "Whether they predict what matters cannot be")
    assert line[0] == "note"
    line = said(
        changed(run, faithfulness=None), "Nobody measured whether they predict what matters"
    )
    assert "--faithfulness all" in line[1]


def test_lines_are_not_wider_than_the_terminal(run: lrpdyn.Run) -> None:
    lines = trust_text(run, 60)
    assert lines[0] == QUESTION
    assert max(map(len, lines)) <= 60
    words = " ".join(" ".join(lines[1:]).split())
    assert words == " ".join(f"{verdict} {text}" for verdict, text in trust_lines(run))


@pytest.mark.parametrize(
    ("to_random", "low", "apart"),
    [(0.85, 0.94, False), (0.39, 0.64, True), (0.16, 0.12, False), (None, None, False)],
)
def test_told_apart(to_random: float | None, low: float | None, apart: bool) -> None:
    found: Mapping[str, Any] = {"random": {"median": to_random}, "random_to_random": {"low": low}}
    assert told_apart(found) is apart
