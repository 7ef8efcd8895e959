"""The question that the facts of a run answer."""

from __future__ import annotations

import pytest

from lrpdyn.explain.targets import parse_target
from lrpdyn.outliers.facts import Question


@pytest.mark.parametrize(
    ("text", "follows"), [("argmax", True), ("modal", False), ("final", False), ("2", False)]
)
def test_only_the_preferred_unit_of_each_step_follows_the_preference(
    text: str, follows: bool
) -> None:
    policy = parse_target(text, samples=5, units=3).policy
    assert Question(gives_only_support=True, target=policy).follows_preference is follows
