"""Which checkpoints and rules are tried, how they are ranked, and which one is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from lrpdyn.checkpoints.model import Checkpoint, Header
from lrpdyn.diagnostics.faithfulness import Curves
from lrpdyn.diagnostics.rule_trial import (
    OfRule,
    Row,
    candidates,
    choose,
    distinct,
    ranked,
    tried_checkpoints,
)
from lrpdyn.errors import CheckpointError
from lrpdyn.explain.explanation import Question
from tests.diagnostics.networks import TwoHeads, loaded_of, model_of

PICTURES = np.random.default_rng(0).normal(size=(3, 2, 6, 6)).astype(np.float32)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (range(0, 101), [100, 50, 10]),
        ([0, 1000], [1000]),
        ([0], [0]),
        ([1, 10, 100, 1000], [1000, 100]),
        ([0, 90, 100], [100, 90]),
    ],
)
def test_an_early_a_middle_and_the_last_checkpoint_are_tried(
    steps: list[int], expected: list[int]
) -> None:
    series = [
        Checkpoint(step=n, path=Path("x"), format="", step_source="", header=Header({}))
        for n in steps
    ]
    assert [one.step for one in tried_checkpoints(series)] == expected


def test_rules_that_do_not_fit_are_left_out_with_the_reason() -> None:
    model = model_of(TwoHeads, PICTURES)
    fitting, left_out = candidates(model, PICTURES, None)
    reasons = {one.rule: one.reason for one in left_out}
    assert "range of this network's observations is not known" in reasons["zbox"]
    assert "zbox:0,1" in reasons["epsilon-gamma-box"]
    assert "single layers" in reasons["pass"]
    assert "often wrong" in reasons["captum:gamma"]
    names = {str(one.composite) for one in fitting}
    assert {"zplus", "gamma:0.25", "alphabeta:2,1", "epsilon-plus-flat"} <= names
    assert not any(name.startswith("gamma") and name.endswith("+attnlrp") for name in names)
    bounded, _ = candidates(model, PICTURES, (-9.0, 9.0))
    assert {str(one.composite) for one in bounded} == {*names, "zbox", "epsilon-gamma-box"}


def test_rules_whose_maps_are_those_of_another_are_tried_once() -> None:
    loaded = loaded_of(TwoHeads, PICTURES)
    fitting, _ = candidates(loaded.model, PICTURES, None)
    chosen, twins = distinct(loaded, PICTURES, Question(contrast="mean"), fitting)
    reasons = {one.rule: one.reason for one in twins}
    assert reasons["lrp0"] == "its maps are those of epsilon:1e-06 here"
    assert reasons["alphabeta:1,0"] == "its maps are those of zplus here"
    assert {"zplus", "gamma:0.25"} <= {str(one.composite) for one in chosen}


class Gated(nn.Module):
    """A product of two branches, for which AttnLRP has a rule of its own."""

    heads = ("logits",)

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.last = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.last(self.one(x).relu() * self.two(x))

    def path(self, head: str) -> nn.Module:
        return self


def test_attnlrp_is_tried_with_each_rule_where_there_are_products() -> None:
    features = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    names = {str(one.composite) for one in candidates(model_of(Gated, features), features, None)[0]}
    assert {"gamma:0.25", "gamma:0.25+attnlrp", "zplus+attnlrp"} <= names
    assert not any(name.count("+attnlrp") > 1 for name in names)


def _of_rule(unit: float) -> OfRule:
    return OfRule(
        maps=np.zeros((2, 3), np.float32), target=np.zeros(2, np.int64), unit=np.full(2, unit),
        random=np.array([0.5, np.nan]), sums=np.array([0.9, 1.1]), milliseconds=unit,
    )  # fmt: skip


def _curves(scale: float) -> Curves:
    """Two samples, two patches; the score falls from 1 to 0: at once, late, or between."""
    early, late = np.array([1.0, 0, 0]) * scale, np.array([1.0, 1, 0]) * scale
    good, bad = np.stack([early, late]), np.stack([late, early])
    random = np.stack([np.stack([one, one]) for one in (early, late)])
    both = [np.stack([one, one], axis=-2) for one in (bad, good, random)]
    score = {"bad": both[0], "good": both[1], "random": both[2]}
    return Curves(score=score, policy=None, forwards=0)


def test_the_most_faithful_rule_is_first_in_shares_of_each_checkpoints_range() -> None:
    measured = [{"bad": _of_rule(0.2), "good": _of_rule(0.8)},
                {"bad": _of_rule(0.4), "good": _of_rule(0.6)}]  # fmt: skip
    rows, band = ranked(measured, [_curves(1.0), _curves(50.0)])
    assert [(row.rule, row.faithfulness, row.low, row.high) for row in rows] == [
        ("good", 0.5, 0.5, 0.5),
        ("bad", -0.5, -0.5, -0.5),
    ]
    assert band == (0.0, 0.0)
    first = rows[0]
    assert (first.unit, first.random, first.sum_to_score, first.milliseconds) == (
        pytest.approx(0.7), 0.5, 1.0, 0.6,
    )  # fmt: skip
    # A checkpoint whose range is flat beside the largest says nothing.
    alone, _ = ranked(measured, [_curves(1.0), _curves(-1e-9)])
    assert alone[0].faithfulness == 0.5


def test_a_score_that_nothing_changes_ranks_no_rule() -> None:
    with pytest.raises(CheckpointError, match="stays the same when all of them is taken away"):
        ranked([{"bad": _of_rule(0.2), "good": _of_rule(0.8)}], [_curves(0.0)])


def _row(rule: str, faithfulness: float, low: float, high: float, unit: float | None) -> Row:
    return Row(
        rule=rule, faithfulness=faithfulness, low=low, high=high, unit=unit, random=None,
        sum_to_score=None, milliseconds=1.0,
    )  # fmt: skip


def test_of_rules_as_faithful_the_one_that_depends_most_on_the_unit_is_named() -> None:
    rows = [
        _row("zplus", 0.31, 0.26, 0.35, 0.97),
        _row("gamma", 0.29, 0.25, 0.33, -0.56),
        _row("epsilon", 0.20, 0.11, 0.30, 0.05),
    ]
    named, reason = choose(rows, (-0.1, 0.1))
    assert named == "gamma"
    assert "as faithful (0.29, 0.25 to 0.33) as zplus (0.31)" in reason
    # Whose interval reaches into the band of random orders is not named, however good its median is.
    named, reason = choose([_row("flat", 0.5, 0.05, 0.6, 0.0), *rows], (-0.1, 0.1))
    assert named == "gamma"
    named, reason = choose(rows[:1], (-0.1, 0.1))
    assert reason == "zplus: most faithful (0.31, 0.26 to 0.35)"
    named, reason = choose(rows, (-0.3, 0.3))
    assert named is None
    assert "random orders of patches (up to 0.30); the best is zplus (0.31, 0.26 to 0.35)" in reason
    # With two outputs nothing says how maps depend on the unit.
    named, _ = choose([_row("a", 0.4, 0.3, 0.5, None), _row("b", 0.3, 0.2, 0.5, None)], (-0.1, 0.1))
    assert named == "a"
