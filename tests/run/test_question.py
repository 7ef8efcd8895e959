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


@pytest.mark.parametrize(
    ("kind", "policy", "contrast", "brief", "long"),
    [
        ("gaussian", "largest", "none", "head policy: unit largest in size at each step",
         "mean of the action dimension largest in size at each step"),
        ("gaussian", "2", "none", "head policy: target 2", "mean of action dimension 2"),
        ("bernoulli", "final", "none", "head policy: unit largest in size at the last step",
         "logit of the binary action largest in size at the last step"),
        ("groups", "argmax", "mean",
         "head policy: unit preferred at each step of the action that is most decided, minus the mean",
         "choice preferred at each step of the action that is most decided, minus the mean of that "
         "action's outputs"),
        ("groups", "4", "runner-up", "head policy: target 1 of action 1, minus the next best",
         "choice 1 of action 1, minus the next best"),
        ("groups", "1:1", "none", "head policy: target 1 of action 1", "choice 1 of action 1"),
        ("groups", "9", "none", "head policy: target 9", "choice 9"),
    ],
)  # fmt: skip
def test_other_actions_than_one(
    kind: str, policy: str, contrast: str, brief: str, long: str
) -> None:
    units = {"kind": kind, "groups": [3, 2] if kind == "groups" else []}
    manifest = {
        "head": "policy", "units": units, "target": {"policy": policy}, "contrast": contrast,
    }  # fmt: skip
    assert question_in_words(manifest) == brief
    assert question_in_words(manifest, long=True) == long
