"""Phases and regions of a run, from what its steps measured."""

from __future__ import annotations

import numpy as np
import pytest

from lrpdyn.dynamics.step_table import Records
from lrpdyn.observations.regions import Regions
from lrpdyn.outliers.trajectory import _together, trajectory
from tests.dynamics.test_step_table import SAMPLES, facts_of, measured_at


@pytest.mark.parametrize("in_regions", [False, True])
def test_steps_without_relevance_are_left_out_of_the_phases(in_regions: bool) -> None:
    looked = np.random.default_rng(0).normal(1.0, 0.01, size=(40, 6))
    looked[25:, :3] += 1.0
    looked /= looked.sum(axis=1, keepdims=True)
    looked[[5, 9, 30]] = np.nan  # every map of these is zero
    records = Records(40)
    for place, level in enumerate(looked):
        shares = np.repeat(level[:3, None], SAMPLES, axis=1) if in_regions else None
        evidence = facts_of(0)["evidence"]
        if in_regions:
            evidence["effects"] = np.random.default_rng(place).normal(size=(3, SAMPLES)).tolist()
        facts = facts_of(100 * place, evidence=evidence)
        records.add(facts, measured_at(place), level, shares)
    regions = Regions(names=("a", "b", "c"), masks=np.ones((3, SAMPLES, 6), dtype=bool), sha256="")
    (border,) = trajectory(records, regions if in_regions else None, "zplus")["phases"]["borders"]
    assert border["step"] == 2500


def test_regions_have_their_means_and_how_well_shares_and_effects_agree() -> None:
    records = Records(3)
    shares = np.array([[0.1, 0.2, 0.7], [0.2, 0.3, 0.5], [0.3, 0.1, 0.6]])
    effects = np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 0.0], [3.0, 3.5, 5.0]])
    for place, (share, effect) in enumerate(zip(shares, effects, strict=True)):
        of_samples = np.repeat(share[:, None], SAMPLES, axis=1)
        of_samples[1, 2:] = np.nan  # an object that is in two samples
        of_samples[0] += [0.01, -0.01, 0.02, -0.02]
        evidence = facts_of(0)["evidence"] | {"effects": np.tile(effect, (SAMPLES, 1)).T.tolist()}
        facts = facts_of(10 * place, evidence=evidence)
        records.add(facts, measured_at(place), np.full(6, 1 / 6), of_samples)
    regions = Regions(names=("a", "b", "c"), masks=np.ones((3, SAMPLES, 6), dtype=bool), sha256="")
    found = trajectory(records, regions, "gamma")["regions"]
    assert (found["rule"], found["steps"]) == ("gamma", [0, 10, 20])
    np.testing.assert_allclose(found["share"], shares.T)
    np.testing.assert_allclose(found["effect"], effects.T)
    # Over steps, the ranks of b are 1, 2, 0 and 1, 0, 2, those of c 2, 0, 1 and 1, 0, 2.
    assert found["agreement"] == pytest.approx([1, -1, 0.5])
    # Over regions it is 1, -1 and, of ranks 1, 0, 2 and 0, 1, 2, a half.
    assert found["agreement_over_regions"] == pytest.approx(0.5)


def test_without_regions_the_phases_are_of_the_maps() -> None:
    records = Records(1)
    records.add(facts_of(0), measured_at(0), np.full(6, 1 / 6), None)
    found = trajectory(records, None, "zplus")
    assert found["phases"]["of"] == "L1-normalised maps"
    assert "too few to say" in found["phases"]["why"]
    assert found["regions"] is None


def test_regions_that_hold_most_of_the_relevance_together() -> None:
    shares = np.array(
        [
            # samples:  0    1    2
            [[0.50, 0.10, 0.05], [0.35, 0.05, 0.05]],
            [[0.85, np.nan, 0.2], [0.05, np.nan, 0.62]],
        ]
    )
    found = _together(("ball", "own"), shares)
    frequencies = {tuple(one["regions"]): one["frequency"] for one in found}
    assert frequencies == {
        ("ball", "own"): [1 / 3, 1 / 2],
        ("elsewhere",): [2 / 3, 0],
        ("ball",): [0, 1 / 2],
    }
    assert found[0]["regions"] in (["ball", "own"], ["elsewhere"])
