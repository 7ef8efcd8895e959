"""Criteria compare with what is usual for the run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lrpdyn.outliers.causes import CAUSES
from lrpdyn.outliers.criteria import Criteria
from lrpdyn.outliers.facts import RunFacts
from tests.outliers.made_up import (
    calm_run,
    everywhere,
    evidence,
    names,
    report_on,
    with_steps,
)


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


def test_lost_relevance_is_told_against_the_usual(calm: RunFacts) -> None:
    sums = calm.steps.relevance_sum.copy()
    sums[21, 3] *= 0.3
    lost = with_steps(calm, relevance_sum=sums, relevance_l1=sums)
    free = everywhere(report_on(replace(lost, conserves=False)))
    assert "conservation_failure" not in set(free)  # of a rule that does not conserve relevance
    report = report_on(lost)
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


def test_scores_near_zero_of_one_sign_do_not_cross_it(calm: RunFacts) -> None:
    score = calm.steps.score.copy()
    score[21:, 3] = 1e-4  # of about 2
    score[21:, 4] *= -1
    score[30, 5] = 0
    crossing = np.argwhere(Criteria(with_steps(calm, score=score)).crosses_zero)
    assert crossing.tolist() == [[20, 4]]


SPACINGS = {
    "even": 100 * np.arange(41),
    "logarithmic": np.unique(np.geomspace(1, 1e5, 41).round()),
    "often, then seldom": np.concatenate([np.arange(20), 20 + 50 * np.arange(21)]),
    "powers of two": 2 ** np.arange(20),
}


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_gap_is_where_a_checkpoint_is_missing(spacing: str) -> None:
    step = SPACINGS[spacing].astype(np.int64)
    assert gaps(step) == []
    for missing in (8, len(step) // 2 + 4) if spacing != "powers of two" else ():
        assert gaps(np.delete(step, missing)) == [missing - 1]


def gaps(step: np.ndarray) -> list[int]:
    known = Criteria(with_steps(calm_run(len(step)), step=step))
    return np.flatnonzero(present("step_gap", known)).tolist()


def present(name: str, known: Criteria) -> np.ndarray:
    """Return where a cause is present."""
    cause = next(cause for cause in CAUSES if cause.name == name)
    assert cause.present is not None
    return cause.present(known)


def test_a_layer_that_is_dead_for_most_of_a_run_is_still_dead(calm: RunFacts) -> None:
    dead = np.full(calm.steps.dead.shape, 0.3)
    dead[12:] = 0.95
    known = Criteria(with_steps(calm, dead=dead))
    assert np.flatnonzero(known.dead).tolist() == list(range(12, 41))
    assert np.flatnonzero(present("dead_layer", known)).tolist() == [11]
    (condition,) = report_on(known.facts)["conditions"]
    assert {key: condition[key] for key in ("cause", "layer", "first_step", "last_step", "steps")} == {
        "cause": "dead_layer", "layer": "first", "first_step": 1200, "last_step": 4000, "steps": 29,
    }  # fmt: skip
    # One that is half dead from the beginning is so by its making.
    from_the_beginning = np.full(dead.shape, 0.95)
    assert not Criteria(with_steps(calm, dead=from_the_beginning)).dead.any()


def test_a_layer_most_of_whose_units_fall_asleep_is_dormant(calm: RunFacts) -> None:
    dormant = np.full(calm.steps.dormant.shape, 0.1)
    dormant[30:] = 0.7
    known = Criteria(with_steps(calm, dormant=dormant))
    assert np.flatnonzero(known.dormant).tolist() == list(range(30, 41))
    assert np.flatnonzero(present("dormant_units", known)).tolist() == [29]
    (entry, *_) = report_on(known.facts)["pathologies"]
    assert entry["where"] == {"step": 3000}
    assert evidence(entry, "dormant_units") == "first: 70 % of its units are dormant"
    # Fewer than half of all, or more than half of those that usually give something.
    for least, most in ((0.0, 0.49), (0.4, 0.65)):
        calmer = np.where(dormant > 0.5, most, least)
        assert not Criteria(with_steps(calm, dormant=calmer)).dormant.any()
    # A layer that is dead is not called dormant as well.
    dead = np.where(dormant > 0.5, 1.0, 0.4)
    assert not Criteria(with_steps(calm, dormant=dormant, dead=dead)).dormant.any()


def test_churn_is_where_many_samples_change_their_unit_at_once(calm: RunFacts) -> None:
    argmax = calm.steps.argmax.copy()
    argmax[21:, :4] = 1
    argmax[4:, 4:] = 2  # at the start of learning, as always
    known = Criteria(with_steps(calm, argmax=argmax))
    assert np.flatnonzero(known.churned).tolist() == [20]
    (entry,) = (e for e in report_on(known.facts)["steps"] if "churn" in names(e))
    assert entry["where"] == {"from_step": 2000, "to_step": 2100}
    assert evidence(entry, "churn") == "another unit is preferred in 4 of 8 samples"
    # Where as many change all the time, it is usual.
    unsettled = np.random.default_rng(0).integers(0, 2, argmax.shape)
    assert Criteria(with_steps(calm, argmax=unsettled)).churned.mean() < 0.1


def test_equal_checkpoints_before_training_begins_are_no_duplicates(calm: RunFacts) -> None:
    change = calm.steps.weight_change.copy()
    change[[1, 2, 20]] = 0
    assert np.flatnonzero(Criteria(with_steps(calm, weight_change=change)).duplicates).tolist() == [
        20
    ]
