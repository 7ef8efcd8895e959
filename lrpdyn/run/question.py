"""The question of a run in words: which unit of which head is explained, and against what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What the units of a head are.
_UNITS = {"policy": "action", "q": "action", "logits": "class"}
#: By what the manifest records: the words in brief, and those that the long wording adds.
_TARGETS = {
    "argmax": ("preferred at each step", ""),
    "modal": ("preferred on average", " over all steps"),
    "final": ("preferred at the last step", ""),
}
CONTRASTS = {
    "none": ("", ""),
    "mean": (", minus the mean", " of the outputs"),
    "runner-up": (", minus the next best", ""),
}


def question_in_words(manifest: Mapping[str, Any], *, long: bool = False) -> str:
    """Return the question that a manifest records.

    The long wording calls the units what they are (an action, a class); the brief one names the head.

    >>> manifest = {"head": "policy", "target": {"policy": "modal"}, "contrast": "mean"}
    >>> question_in_words(manifest)
    'head policy: unit preferred on average, minus the mean'
    >>> question_in_words(manifest, long=True)
    'action preferred on average over all steps, minus the mean of the outputs'
    """
    head, policy = manifest["head"], manifest["target"]["policy"]
    if long and head == "value":
        return "the state's value"
    unit = unit_of(manifest) if long else "unit"
    end = 2 if long else 1
    against = "".join(CONTRASTS[manifest["contrast"]][:end])
    if policy in _TARGETS:
        target = f"{unit} {''.join(_TARGETS[policy][:end])}"
    else:
        target = f"{unit if long else 'target'} {policy}"
    return f"{target}{against}" if long else f"head {head}: {target}{against}"


def unit_of(manifest: Mapping[str, Any]) -> str:
    """Return what a unit of the head is: an action, a class, or a unit."""
    return _UNITS.get(manifest["head"], "unit")
