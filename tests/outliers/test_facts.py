"""The question that the facts of a run answer."""

from __future__ import annotations

import pytest

from lrpdyn.explain.targets import parse_target
from lrpdyn.explain.units import Units
from lrpdyn.outliers.facts import Question


@pytest.mark.parametrize(
    ("text", "follows"),
    [("argmax", True), ("1:argmax", True), ("modal", False), ("final", False), ("1:0", False)],
)
def test_only_the_preferred_unit_of_each_step_follows_the_preference(
    text: str, follows: bool
) -> None:
    target = parse_target(text, 5, 3, Units(kind="groups", groups=(1, 2))).text
    assert Question(gives_only_support=True, target=target).follows_preference is follows
