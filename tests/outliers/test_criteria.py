"""Criteria compare with what is usual for the run, and take little memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lrpdyn.outliers.facts import RunFacts
from tests.outliers.made_up import (
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
