"""The question of a run in words, in brief for figures and long for the closing lines."""

from __future__ import annotations

import pytest

from lrpdyn.run.question import question_in_words, unit_of


@pytest.mark.parametrize(
    ("head", "policy", "contrast", "brief", "long"),
    [
        ("q", "argmax", "none", "head q: unit preferred at each step",
         "action preferred at each step"),
        ("logits", "final", "runner-up", "head logits: unit preferred at the last step, minus the next "
         "best", "class preferred at the last step, minus the next best"),
        ("actor", "3", "mean", "head actor: target 3, minus the mean",
         "unit 3, minus the mean of the outputs"),
        ("value", "argmax", "none", "head value: unit preferred at each step", "the state's value"),
    ],
)  # fmt: skip
def test_both_wordings(head: str, policy: str, contrast: str, brief: str, long: str) -> None:
    manifest = {"head": head, "target": {"policy": policy}, "contrast": contrast}
    assert question_in_words(manifest) == brief
    assert question_in_words(manifest, long=True) == long


def test_units_are_called_what_they_are() -> None:
    assert [unit_of({"head": head}) for head in ("policy", "logits", "x")] == [
        "action", "class", "unit",
    ]  # fmt: skip
