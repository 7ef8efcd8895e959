"""What is unusual about one place is one finding, and what matters most comes first."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lrpdyn.outliers.facts import RunFacts
from lrpdyn.outliers.first import conditions, findings
from tests.outliers.made_up import report_on, spiked, with_changes, with_steps
from tests.outliers.trained import State, run_of

AT = 25


def headlines(report: dict[str, Any]) -> list[str]:
    return [one["words"][0] for one in [*report["first"], *report["then"]]]


def kinds(report: dict[str, Any]) -> list[str]:
    return [one["kind"] for one in [*report["first"], *report["then"]]]


def test_a_calm_run_has_no_finding(calm: RunFacts) -> None:
    report = report_on(calm)
    assert report["first"] == report["then"] == []


def test_a_bad_checkpoint_is_one_finding_though_maps_and_weights_show_it(
    clean: list[State], other: list[State]
) -> None:
    facts = run_of([*clean[:AT], other[AT], *clean[AT + 1 :]])
    report = report_on(spiked(spiked(facts, AT - 1), AT))
    assert sum(entry["severity"] == "far" for entry in report["steps"]) == 2
    (finding,) = report["first"]
    assert finding["kind"] == "off_path"
    assert finding["where"] == {"step": 2500}
    assert finding["words"][0] == "checkpoint 2,500: very likely not of this run (or a bad file)."
    assert finding["words"][-1] == "without it, 2,400 -> 2,600 is an ordinary step"


def test_what_a_bad_checkpoint_is_likely_to_be(clean: list[State], other: list[State]) -> None:
    of_this_run = report_on(run_of([*clean[:AT], clean[8], *clean[AT + 1 :]]))
    assert headlines(of_this_run) == [
        "checkpoint 2,500: very likely a copy of checkpoint 800 of this run."
    ]
    states = [dict(state) for state in clean]
    states[AT]["second.weight"] = other[AT]["second.weight"]
    assert headlines(report_on(run_of(states))) == [
        "checkpoint 2,500: very likely damaged, or changed by hand (second)."
    ]
    states = list(clean)
    states[AT], states[AT + 1] = states[AT + 1], states[AT]
    assert headlines(report_on(spiked(run_of(states), AT + 1))) == [
        "checkpoints 2,500 and 2,600: very likely in the wrong order."
    ]


def test_a_jump_of_the_weights_and_of_the_maps_is_one_finding(clean: list[State]) -> None:
    states = [dict(state) for state in clean]
    for state in states[AT:]:
        state["second.weight"] = state["second.weight"] * 3
    report = report_on(spiked(run_of(states), AT - 1, by=6))
    (finding,) = report["first"]
    assert finding["words"][0] == "2,400 -> 2,500: the weights jumped."
    assert finding["words"][1].startswith("the maps changed ")
    assert "second moved by " in finding["words"][2]


def test_what_is_broken_comes_before_what_changed(calm: RunFacts) -> None:
    finite, dead = calm.steps.finite.copy(), calm.steps.dead.copy()
    finite[38], dead[20:30, 0] = False, 1.0
    broken = (*calm.steps.broken[:38], ("the outputs",), (), ())
    reset = tuple(("norm",) if step == 15 else () for step in range(41))
    facts = spiked(with_steps(calm, finite=finite, dead=dead, broken=broken, reset=reset), 33)
    report = report_on(facts)
    assert kinds(report) == ["not_finite", "statistics_reset", "step", "dead_layer"]
    assert len(report["first"]) == 3
    assert headlines(report)[0] == "step 3,800: NaN or infinity."


def test_far_cells_of_one_transition_are_one_finding(calm: RunFacts) -> None:
    change = calm.changes.change.copy()
    change[20, :3] *= 30
    change[30, 6] *= 30  # one cell alone is no finding
    report = report_on(with_changes(calm, change=change))
    groups = [one for one in [*report["first"], *report["then"]] if one["kind"] == "cells"]
    assert [one["words"] for one in groups] == [
        ["2,000 -> 2,100: the maps of 3 samples changed far more than usual."]
    ]
    assert [(group["where"], group["cells"], group["severity"]) for group in report["cell_groups"]] == [
        ({"from_step": 2000, "to_step": 2100}, 3, "far"), ({"sample": 6}, 1, "mild"),
    ]  # fmt: skip


def test_who_made_a_change_is_said_with_it(calm: RunFacts) -> None:
    report = report_on(spiked(calm, 20))
    layers = [{"from_step": 2000, "to_step": 2100, "layers": [{"layer": "first"}],
               "words": "first alone makes 90 % of the change"}]  # fmt: skip
    found = findings({**report, "layers": layers})
    at_the_place = [one for one in found if one["where"].get("to_step") == 2100]
    assert at_the_place
    assert all(one["words"][-1] == layers[0]["words"] for one in at_the_place)


def entry(step: int, cause: str = "vanished_relevance", **more: Any) -> dict[str, Any]:
    evidence = more.pop("evidence", f"step {step:,}: sum|R| is 0")
    return {
        "where": {"step": step, **more},
        "causes": [{"cause": cause, "share": None, "evidence": evidence}],
    }


def test_conditions_are_stretches_of_one_cause_and_layer() -> None:
    explained = list(range(0, 1000, 10))
    given = [
        *(entry(step, sample=n) for step in (10, 20, 40) for n in (7, 3)),  # a gap of one is bridged
        entry(200, sample=3),
        *(entry(step, "dead_layer", evidence=f"{layer}: 99 % of its units are dead")
          for step in (10, 20) for layer in ("one", "two")),
    ]  # fmt: skip
    found = conditions(given, explained)
    seen = [
        (c["cause"], c["layer"], c["first_step"], c["last_step"], c["steps"], c["samples"])
        for c in found
    ]
    assert seen == [
        ("vanished_relevance", "", 10, 40, 3, [3, 7]),
        ("vanished_relevance", "", 200, 200, 1, [3]),
        ("dead_layer", "one", 10, 20, 2, []),
        ("dead_layer", "two", 10, 20, 2, []),
    ]
    assert found[0]["evidence"] == "sum|R| is 0"


@pytest.mark.parametrize("length", [1, 2, 4])
def test_jumps_that_follow_each_other_are_one_finding(clean: list[State], length: int) -> None:
    states = [dict(state) for state in clean]
    for place in range(length):
        for state in states[AT + place :]:
            shift = torch.randn(24, 24, generator=torch.Generator().manual_seed(place))
            state["second.weight"] = state["second.weight"] + 0.2 * shift
    report = report_on(run_of(states))
    jumps = [one for one in [*report["first"], *report["then"]] if one["kind"] == "weight_jump"]
    (finding,) = jumps
    assert finding["where"] == {"from_step": 2400, "to_step": 2400 + 100 * length}
    assert len(report["weights"]) == length
