"""What the page says of what was requested, done and checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import lrpdyn
from lrpdyn.page.about import facts_of
from lrpdyn.page.page import page_of
from lrpdyn.run.manifest import save_manifest


def test_words_of_the_manifest(image_run: lrpdyn.Run) -> None:
    facts = page_of(image_run).facts
    manifest = dict(facts.manifest)
    assert manifest["output"] == "head policy, target argmax, contrast mean"
    assert manifest["observations"].startswith("4 x 4 x 84 x 84")
    assert [entry["step"] for entry in facts.checkpoints] == ["0", "16", "32", "48"]
    assert dict(facts.checks)["question"].startswith("action preferred at each step")


def test_what_was_not_explained_says_why_and_what_was_not_given_is_not_named(
    copied: Callable[[str], Path],
) -> None:
    folder = copied("run")
    manifest = json.loads((folder / "manifest.json").read_text())
    entry = manifest["checkpoints"][1]
    entry |= {"status": "not_finite", "reason": "has NaN", "digest": None, "sha256": None}
    manifest["rule"] |= {"name": "gamma", "parameters": {"gamma": 0.25, "bound": None}}
    save_manifest(folder, manifest)
    facts = facts_of(lrpdyn.open_run(folder))
    found = facts.checkpoints[1]
    assert (found["status"], found["reason"], found["digest"]) == ("not finite", "has NaN", "")
    assert dict(facts.manifest)["checkpoints"] == "3 of 4 explained"
    assert dict(facts.manifest)["rule"] == "gamma (gamma 0.25)"
    shown = facts.checkpoints[0]["digest"]
    assert shown == manifest["checkpoints"][0]["digest"][: len("xxh3_128-") + 12]


def test_outliers_are_not_among_the_checks(image_run: lrpdyn.Run) -> None:
    terms = [term for term, _ in facts_of(image_run).checks]
    assert "question" in terms
    assert "outliers" not in terms
