"""The question of a run in words: which unit of which head is explained, and against what."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

#: What the units of a head are.
_UNITS = {"policy": "action", "q": "action", "logits": "class"}
#: By what the manifest records: the words in brief, and those that the long wording adds.
_TARGETS = {
    "argmax": ("preferred at each step", ""),
    "modal": ("preferred on average", " over all steps"),
    "final": ("preferred at the last step", ""),
    "labels": ("of each sample's label", ""),
}
#: The same of units that do not compete, each of which has a zero of its own.
_LARGEST = {
    "largest": ("largest in size at each step", ""),
    "modal": ("largest in size on average", " over all steps"),
    "final": ("largest in size at the last step", ""),
    "labels": ("of each sample's label", ""),
}
#: What the outputs of a head may be (`lrpdyn.explain.units.Units`).
KINDS = ("categorical", "groups", "gaussian", "bernoulli", "values")
#: What such a unit is called, by kind, and what its output is.
_OWN_ZERO = {"gaussian": ("action dimension", "mean"), "bernoulli": ("binary action", "logit")}
CONTRASTS = {
    "none": ("", ""),
    "mean": (", minus the mean", " of the outputs"),
    "runner-up": (", minus the next best", ""),
}

#: Digits of any unit, with those of its group.
_LONGEST = 40


def rule_parts(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name of a run's rule, and ``+NAME`` of the one for attention where that was given.

    >>> rule_parts({"rule": {"name": "gamma+attnlrp"}}), rule_parts({"rule": {"name": "a+b.toml"}})
    (('gamma', '+attnlrp'), ('a+b.toml', ''))
    """
    found = re.fullmatch(r"(.*?)(\+[a-z-]+)?", manifest["rule"]["name"], re.DOTALL)
    assert found is not None
    return found[1], found[2] or ""


def rule_with_values(manifest: Mapping[str, Any]) -> str:
    """Return a run's rule as ``--rule`` takes it.

    >>> rule_with_values({"rule": {"name": "gamma+attnlrp", "parameters": {"gamma": 0.25}}})
    'gamma:0.25+attnlrp'
    """
    values = ",".join(f"{value}" for value in manifest["rule"]["parameters"].values())
    rule, attention = rule_parts(manifest)
    return (f"{rule}:{values}" if values else rule) + attention


def question_in_words(manifest: Mapping[str, Any], *, long: bool = False) -> str:
    """Return the question that a manifest records.

    The long wording calls the units what they are (an action, a class); the brief one names the head.

    >>> manifest = {"head": "policy", "target": {"policy": "modal"}, "contrast": "mean"}
    >>> question_in_words(manifest)
    'head policy: unit preferred on average, minus the mean'
    >>> question_in_words(manifest, long=True)
    'action preferred on average over all steps, minus the mean of the outputs'
    >>> box = {"kind": "gaussian", "groups": []}
    >>> question_in_words({**manifest, "units": box, "contrast": "none"}, long=True)
    'mean of the action dimension largest in size on average over all steps'
    >>> several = {"units": {"kind": "groups", "groups": [3, 2]}, "target": {"policy": "1:argmax"}}
    >>> question_in_words({**manifest, **several}, long=True)
    "choice preferred at each step of action 1, minus the mean of that action's outputs"
    >>> shot = {"target": {"policy": "1"}, "names": {"units": {"1": "FIRE"}}, "contrast": "none"}
    >>> question_in_words({**manifest, **shot}, long=True)
    'action 1 (FIRE)'
    >>> question_in_words({"head": "value", "reference": "modal 87"}, long=True)
    "the state's value, relative to the modal value 87"
    """
    return _of_outputs(manifest, long=long) + _relative_to(manifest)


def _relative_to(manifest: Mapping[str, Any]) -> str:
    """Return what relevance is measured from, where it is not zero; runs of earlier versions have none."""
    reference = manifest.get("reference", "none")
    if reference == "none":
        return ""
    kind, _, rest = reference.partition(" ")
    known = {"modal": f"the modal value {rest}", "mean": "the mean of the observations"}
    return f", relative to {known.get(kind, reference.rpartition(' ')[0] or reference)}"


def _of_outputs(manifest: Mapping[str, Any], *, long: bool) -> str:
    head = manifest["head"]
    if long and head == "value":
        return "the state's value"
    of, unit = _unit_and_what_of_it(manifest) if long else ("", "unit")
    end = 2 if long else 1
    group, policy = _group_and_policy(manifest)
    against = "".join(CONTRASTS[manifest["contrast"]][:end])
    known = _TARGETS if has_preference(manifest) else _LARGEST
    if _kind(manifest) == "groups":
        against = against.replace("the outputs", "that action's outputs")
    if policy in known:
        target = f"{of}{unit} {''.join(known[policy][:end])}"
    else:
        name = manifest.get("names", {}).get("units", {}).get(manifest["target"]["policy"])
        target = f"{of.replace('the ', '')}{unit if long else 'target'} {policy}"
        target += "" if name is None else f" ({name})"
    if group is not None:
        target += f" of action {group}"
    elif policy in known and _kind(manifest) == "groups":
        target += " of the action that is most decided"
    return f"{target}{against}" if long else f"head {head}: {target}{against}"


def has_preference(manifest: Mapping[str, Any]) -> bool:
    """Tell whether units of the head compete, so that one is preferred."""
    return _kind(manifest) not in _OWN_ZERO


def unit_of(manifest: Mapping[str, Any]) -> str:
    """Return what a unit of the head is: an action, a dimension of it, a choice, a class, or a unit."""
    return _unit_and_what_of_it(manifest)[1]


def _unit_and_what_of_it(manifest: Mapping[str, Any]) -> tuple[str, str]:
    kind = _kind(manifest)
    if kind in _OWN_ZERO:
        unit, output = _OWN_ZERO[kind]
        return f"{output} of the ", unit
    return "", "choice" if kind == "groups" else _UNITS.get(manifest["head"], "unit")


def _kind(manifest: Mapping[str, Any]) -> str | None:
    """Return what the outputs are; runs of 0.1 do not record it."""
    kind: str | None = manifest.get("units", {}).get("kind")
    return kind


def _group_and_policy(manifest: Mapping[str, Any]) -> tuple[int | None, str]:
    """Return which of several actions is explained, where it is one, and the target policy of it."""
    policy, sizes = manifest["target"]["policy"], manifest.get("units", {}).get("groups", ())
    group, colon, rest = policy.partition(":")
    if len(policy) > _LONGEST:  # the name of a file, or nothing that lrpdyn writes
        return None, policy
    if sizes and colon and group.isdecimal():
        return int(group), rest
    if policy.isdecimal() and int(policy) < sum(sizes):
        ends = list(accumulate(sizes))
        found = bisect_right(ends, int(policy))
        return found, str(int(policy) - (ends[found] - sizes[found]))
    return None, policy
