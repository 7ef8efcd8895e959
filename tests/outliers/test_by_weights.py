"""What the weights alone show has an entry with its layers, how sure it is, and words."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lrpdyn.outliers.by_weights import by_weights
from lrpdyn.outliers.criteria import Criteria
from lrpdyn.outliers.facts import RunFacts
from lrpdyn.outliers.report import find_outliers
from lrpdyn.outliers.weight_path import WeightPath
from tests.outliers.made_up import report_on, with_steps
from tests.outliers.trained import State, run_of, training

AT = 25  # the step of the report is a hundred times that


def found_in(states: list[State]) -> list[dict[str, Any]]:
    return by_weights(Criteria(run_of(states)))


def test_sound_training_has_none(clean: list[State]) -> None:
    assert found_in(clean) == []
    assert report_on(run_of(clean))["weights"] == []


def test_another_seeds_checkpoint_is_one_entry(clean: list[State], other: list[State]) -> None:
    (entry,) = found_in([*clean[:AT], other[AT], *clean[AT + 1 :]])
    assert entry["where"] == {"step": 2500}
    assert (entry["cause"], entry["severity"]) == ("off_path", "far")
    assert entry["all_layers"]
    assert entry["without"] == [2400, 2600]
    assert 0 < entry["value"] < 0.3
    assert sorted(entry["layers"]) == ["first", "last", "norm", "second"]
    assert entry["evidence"].startswith("all 4 layers moved by ")
    assert "into it and out of it again" in entry["evidence"]
    assert entry["like_step"] is None


def test_a_copy_of_an_early_checkpoint_names_it(clean: list[State]) -> None:
    (entry,) = found_in([*clean[:AT], clean[8], *clean[AT + 1 :]])
    assert entry["evidence"].endswith("its weights are near those of step 800")
    assert entry["like_step"] == 800


def test_a_damaged_layer_is_named_first(clean: list[State], other: list[State]) -> None:
    states = [dict(state) for state in clean]
    states[AT]["second.weight"] = other[AT]["second.weight"]
    (entry,) = found_in(states)
    assert entry["cause"] == "off_path"
    assert entry["layers"][0] == "second"
    assert not entry["all_layers"]
    assert entry["evidence"].startswith("second moved by ")


def test_neighbours_in_the_wrong_order_are_one_entry(clean: list[State]) -> None:
    states = list(clean)
    states[AT], states[AT + 1] = states[AT + 1], states[AT]
    (entry,) = found_in(states)
    assert (entry["cause"], entry["where"]) == ("swapped_order", {"step": 2500})
    assert entry["other_step"] == 2600
    assert entry["evidence"] == "steps 2,500 and 2,600 fit the path the other way round"


def test_copies_are_mild(clean: list[State]) -> None:
    (entry,) = found_in([*clean[:AT], clean[AT - 1], *clean[AT + 1 :]])
    assert (entry["cause"], entry["severity"]) == ("duplicate_checkpoint", "mild")
    near = {name: values * (1 + 1e-6) for name, values in clean[AT - 1].items()}
    (entry,) = found_in([*clean[:AT], near, *clean[AT + 1 :]])
    assert (entry["cause"], entry["severity"]) == ("near_copy", "mild")
    assert entry["evidence"].startswith("its weights differ from those of step 2,400 by ")


def test_training_that_began_anew_or_went_on_from_before(clean: list[State]) -> None:
    entry, *rest = found_in(clean[:AT] + training(3, 15))
    assert {one["cause"] for one in rest} <= {"weight_jump"}  # the start of learning
    assert (entry["cause"], entry["severity"]) == ("restart", "far")
    assert entry["where"] == {"from_step": 2400, "to_step": 2500}
    assert entry["evidence"].startswith("hardly anything of the weights before is left")
    entry, *_ = found_in(clean[:AT] + training(2, 15, begin=clean[10]))
    assert entry["cause"] == "restart"
    assert "nearer to those of step 1,000 than to" in entry["evidence"]


@pytest.mark.parametrize(("times", "severity"), [(4.0, "mild"), (30.0, "far")])
def test_a_layer_that_jumped_for_good(clean: list[State], times: float, severity: str) -> None:
    usual = WeightPath(run_of(clean).steps).usual[AT, 3]
    torch.manual_seed(0)
    jump = torch.randn(24, 24)
    jump *= times * usual / jump.norm()
    states = [dict(state) for state in clean]
    for state in states[AT:]:
        state["second.weight"] = state["second.weight"] + jump
    (entry,) = found_in(states)
    assert (entry["cause"], entry["severity"]) == ("weight_jump", severity)
    assert entry["where"] == {"from_step": 2400, "to_step": 2500}
    assert entry["layers"] == ["second"]
    assert entry["value"] == pytest.approx(times, rel=0.2)
    assert entry["evidence"].startswith("second moved by ")


def test_layers_that_begin_to_move_may_be_meant_to(unfrozen: list[State]) -> None:
    found = found_in(unfrozen)
    assert {one["severity"] for one in found} == {"mild"}
    (entry,) = (one for one in found if one["layers"] != ["norm statistics"])
    assert (entry["cause"], entry["value"]) == ("weight_jump", None)
    report = report_on(run_of(unfrozen))
    said = [one["words"][0] for one in [*report["first"], *report["then"]]]
    assert "2,000 -> 2,100: layers that stood still began to move." in said
    assert {"first", "norm"} <= set(entry["layers"])
    assert "first began to move" in entry["evidence"]


def test_statistics_that_began_anew_are_the_checkpoints(calm: RunFacts) -> None:
    reset = tuple(("norm",) if step == AT else () for step in range(41))
    (entry,) = by_weights(Criteria(with_steps(calm, reset=reset)))
    assert (entry["cause"], entry["where"]) == ("statistics_reset", {"step": 2500})
    assert entry["evidence"] == "statistics of norm"


def test_the_strongest_comes_first_and_is_what_interventions_look_at(
    clean: list[State], other: list[State]
) -> None:
    states = [dict(state) for state in clean]
    states[15] = clean[14]
    states[AT] = other[AT]
    for state in states[33:]:
        state["second.weight"] = state["second.weight"] * 3
    facts = run_of(states)
    report = report_on(facts)
    assert [one["cause"] for one in report["weights"]] == [
        "off_path", "weight_jump", "duplicate_checkpoint",
    ]  # fmt: skip
    assert {"off_path", "weight_jump", "duplicate_checkpoint"} <= set(report["advice"])
    # A copy hardly changed anything, and the way out of a bad checkpoint is the way in.
    assert find_outliers(facts).in_question() == [(2400, 2500, "weights"), (3200, 3300, "weights")]
