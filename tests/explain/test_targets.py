"""Targets: what the user may say, and units that are fixed by the outputs of checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lrpdyn.errors import CheckpointError, UsageError
from lrpdyn.explain.targets import Target, contrasted, fix_targets, parse_target

#: Outputs of three checkpoints for one sample: the mean prefers unit 1, the last one unit 2.
OUTPUTS = [np.array([[0.0, 9, 1]]), np.array([[0.0, 5, 2]]), np.array([[1.0, 2, 3]])]


def test_contrasted_scores_by_hand() -> None:
    outputs = np.array([[1.0, 4, 7]])
    assert contrasted(outputs, "none").tolist() == [[1, 4, 7]]
    assert contrasted(outputs, "mean").tolist() == [[-3, 0, 3]]
    assert contrasted(outputs, "runner-up").tolist() == [[-6, -3, 3]]
    assert contrasted(outputs[:, :1], "mean").tolist() == [[1]]


def test_modal_and_final_targets() -> None:
    assert fix_targets(Target("modal"), "mean", OUTPUTS).target == [1]
    last_first = [np.full((1, 3), np.nan), *OUTPUTS[::-1]]
    fixed = fix_targets(Target("final"), "runner-up", last_first)
    assert (fixed.target, fixed.runner_up) == ([2], [1])
    assert fix_targets(Target("argmax"), "mean", ()).target is None
    with pytest.raises(CheckpointError, match="no checkpoint has finite outputs"):
        fix_targets(Target("modal"), "mean", [np.full((1, 3), np.inf)])


def test_targets_that_a_user_gives(tmp_path: Path) -> None:
    assert parse_target("final", 4, 3) == Target("final")
    assert parse_target("2", 4, 3).values.tolist() == [2] * 4
    np.save(tmp_path / "units.npy", np.array([0, 2, 1, 0]))
    given = parse_target(str(tmp_path / "units.npy"), 4, 3)
    assert given.values.tolist() == [0, 2, 1, 0]
    assert given.needs_outputs("runner-up")
    assert not given.needs_outputs("mean")
    for text, says in (
        ("3", "expected units from 0 to 2, found 3"),
        ("best", "expected argmax, modal, final, an integer or FILE.npy"),
        (str(tmp_path / "none.npy"), "cannot be read"),
    ):
        with pytest.raises(UsageError, match=says):
            parse_target(text, 4, 3)
    with pytest.raises(UsageError, match="expected 5 integers, one a sample"):
        parse_target(str(tmp_path / "units.npy"), 5, 3)
