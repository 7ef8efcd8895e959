"""Which outliers several runs have in common, and which one of them has alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lrpdyn.run.reader import RunFolder

Place = tuple[tuple[str, int], ...]
#: The kinds of outliers that have a place in every run of the same steps and samples.
_KINDS = ("cells", "steps", "samples")


def shared_outliers(runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """Return flagged places of every kind, with their severity and causes in each run.

    Severity is "none" where a place is not flagged, None where a run does not have it. Places flagged in most
    runs come first.
    """
    found: dict[tuple[str, Place], dict[int, dict[str, Any]]] = {}
    for number, run in enumerate(runs):
        flagged = [(k, e) for k in _KINDS for e in run.outliers[k] if e["severity"] != "none"]
        flagged += [
            (entry["causes"][0]["cause"], {**entry, "severity": "pathology"})
            for entry in run.outliers["pathologies"]
        ]
        for kind, entry in flagged:
            key = (kind, tuple(sorted(entry["where"].items())))
            found.setdefault(key, {})[number] = entry
    transitions = [_transitions(run) for run in runs]
    listed = []
    for (kind, where), entries in found.items():
        places = dict(where)
        severities = [
            entries[number]["severity"]
            if number in entries
            else ("none" if _has(run, transitions[number], places) else None)
            for number, run in enumerate(runs)
        ]
        known = sum(severity is not None for severity in severities)
        listed.append(
            {
                "kind": kind,
                "where": places,
                "severity": severities,
                "in": len(entries),
                "of": known,
                "verdict": _verdict(len(entries), known),
                "causes": sorted({c["cause"] for e in entries.values() for c in e["causes"]}),
            }
        )
    return sorted(listed, key=lambda one: (-one["in"], one["kind"], sorted(one["where"].items())))


def _has(run: RunFolder, transitions: set[tuple[int, int]], where: dict[str, int]) -> bool:
    """Tell whether a run has this place at all: another run may have other steps."""
    if "from_step" in where:
        return (where["from_step"], where["to_step"]) in transitions
    return where["step"] in run.steps if "step" in where else True


def _verdict(count: int, known: int) -> str:
    if known < 2:
        return "only one run has such a place"
    if count == known:
        return "in all: not an artefact of what differs"
    return "in one: an artefact of what differs, or by chance" if count == 1 else "in some"


def _transitions(run: RunFolder) -> set[tuple[int, int]]:
    """Return the two steps of each transition: a bad checkpoint is bridged, one that is not finite never."""
    found, before = set(), None
    for entry in run.manifest["checkpoints"]:
        if entry["status"] == "done":
            if before is not None:
                found.add((before, entry["step"]))
            before = entry["step"]
        elif entry["status"] == "not_finite":
            before = None
    return found
