"""Targets: what the user may say, and units that are fixed by the outputs of checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lrpdyn.errors import CheckpointError, UsageError
from lrpdyn.explain.targets import Target, contrast_of, contrasted, fix_targets, parse_target
from lrpdyn.explain.units import LOGITS, Units

#: Outputs of three checkpoints for one sample: the mean prefers unit 1, the last one unit 2.
GROUPS, BOX = Units(kind="groups", groups=(1, 2)), Units(kind="gaussian")
OUTPUTS = [np.array([[0.0, 9, 1]]), np.array([[0.0, 5, 2]]), np.array([[1.0, 2, 3]])]


def test_contrasted_scores_by_hand() -> None:
    outputs = np.array([[1.0, 4, 7]])
    assert contrasted(outputs, "none").tolist() == [[1, 4, 7]]
    assert contrasted(outputs, "mean").tolist() == [[-3, 0, 3]]
    assert contrasted(outputs, "runner-up").tolist() == [[-6, -3, 3]]
    assert contrasted(outputs[:, :1], "mean").tolist() == [[1]]


def test_modal_and_final_targets() -> None:
    assert fix_targets(Target(policy="modal"), "mean", OUTPUTS).target == [1]
    last_first = [np.full((1, 3), np.nan), *OUTPUTS[::-1]]
    fixed = fix_targets(Target(policy="final"), "runner-up", last_first)
    assert (fixed.target, fixed.runner_up) == ([2], [1])
    assert fix_targets(Target(policy="argmax"), "mean", ()).target is None
    with pytest.raises(CheckpointError, match="no checkpoint has finite outputs"):
        fix_targets(Target(policy="modal"), "mean", [np.full((1, 3), np.inf)])


def test_targets_that_a_user_gives(tmp_path: Path) -> None:
    assert parse_target("final", 4, 3) == Target(policy="final")
    assert parse_target("2", 4, 3).values.tolist() == [2] * 4
    np.save(tmp_path / "units.npy", np.array([0, 2, 1, 0]))
    given = parse_target(str(tmp_path / "units.npy"), 4, 3)
    assert given.values.tolist() == [0, 2, 1, 0]
    assert given.needs_outputs("runner-up")
    assert not given.needs_outputs("mean")
    for text, says in (
        ("3", "expected units from 0 to 2, found 3"),
        ("best", "expected argmax, modal, final, labels, an integer or FILE.npy"),
        (str(tmp_path / "none.npy"), "cannot be read"),
    ):
        with pytest.raises(UsageError, match=says):
            parse_target(text, 4, 3)
    with pytest.raises(UsageError, match="expected 5 integers, one a sample"):
        parse_target(str(tmp_path / "units.npy"), 5, 3)


def test_targets_of_one_of_several_actions(tmp_path: Path) -> None:
    assert parse_target(None, 4, 3, GROUPS) == Target(policy="argmax")
    assert parse_target("1:modal", 4, 3, GROUPS) == Target(policy="modal", group=1)
    given = parse_target("1:1", 4, 3, GROUPS)
    assert (given.values.tolist(), given.text) == ([2] * 4, "1:1")
    np.save(tmp_path / "units.npy", np.array([0, 1, 1, 0]))
    path = tmp_path / "units.npy"
    assert parse_target(f"1:{path}", 4, 3, GROUPS).values.tolist() == [1, 2, 2, 1]
    for text, says in (
        ("0:1", "expected units from 0 to 0, found 1"),
        ("2:0", "the head has actions 0 to 1"),
        ("1:best", "expected argmax, modal, final, labels, an integer, GROUP:UNIT or FILE.npy"),
        ("largest", "means nothing where outputs compete"),
    ):
        with pytest.raises(UsageError, match=says):
            parse_target(text, 4, 3, GROUPS)
    with pytest.raises(UsageError, match="the head has one action alone"):
        parse_target("0:1", 4, 3)


def test_units_with_a_zero_of_their_own() -> None:
    assert parse_target(None, 4, 3, BOX) == Target(policy="largest")
    assert parse_target("1", 4, 3, BOX).values.tolist() == [1] * 4
    with pytest.raises(
        UsageError, match=r"argmax: a largest output is no preference .* largest, modal"
    ):
        parse_target("argmax", 4, 3, BOX)
    assert [contrast_of(asked, BOX) for asked in (None, "none")] == ["none", "none"]
    assert [contrast_of(asked, LOGITS) for asked in (None, "none")] == ["mean", "none"]
    for kind in ("gaussian", "bernoulli"):
        with pytest.raises(UsageError, match=r"--contrast mean: each .* leave --contrast out"):
            contrast_of("mean", Units(kind=kind))


def test_fixed_targets_of_other_actions_than_one() -> None:
    # Sizes add up to 1, 16 and -5; the last checkpoint's largest is the negative one.
    outputs = [np.array([[0.0, 9, 1]]), np.array([[1.0, 7, -9]])]
    assert fix_targets(Target(policy="modal"), "none", outputs, BOX).target == [1]
    assert fix_targets(Target(policy="final"), "none", outputs[::-1], BOX).target == [2]
    for shift in (0.0, 100.0):  # of the action with one choice, which is always chosen
        moved = [values + np.array([shift, 0, 0]) for values in outputs]
        modal = fix_targets(Target(policy="modal"), "runner-up", moved, GROUPS)
        assert (modal.target, modal.runner_up) == ([1], [2])
        alone = fix_targets(Target(policy="final", group=0), "runner-up", moved[::-1], GROUPS)
        assert (alone.target, alone.runner_up) == ([0], [0])
