"""Which outliers several runs have in common, and which one of them has alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lrpdyn.files.names import NO_NAMES
from lrpdyn.outliers.render import place
from lrpdyn.run.reader import RunFolder

Place = tuple[tuple[str, int], ...]
#: The kinds of outliers that have a place in every run of the same steps and samples.
_KINDS = ("cells", "steps", "samples")


def shared_outliers(runs: Iterable[RunFolder]) -> list[dict[str, Any]]:
    """Return flagged places of every kind, with their severity and causes in each run.

    Severity is "none" where a place is not flagged, None where a run does not have it. Places flagged in
    most runs come first. One report is in memory at a time, if `runs` opens one run at a time.
    """
    found: dict[tuple[str, Place], dict[int, tuple[str, list[str]]]] = {}
    steps: list[tuple[set[int], set[tuple[int, int]]]] = []
    names = NO_NAMES
    for number, run in enumerate(runs):
        names = names or run.manifest.get("names", NO_NAMES)
        report = run.outliers
        flagged = [(k, e, e["severity"]) for k in _KINDS for e in report[k]]
        flagged += [(e["causes"][0]["cause"], e, "pathology") for e in report["pathologies"]]
        for kind, entry, severity in flagged:
            if severity != "none":
                key = (kind, tuple(sorted(entry["where"].items())))
                causes = [one["cause"] for one in entry["causes"]]
                found.setdefault(key, {})[number] = (severity, causes)
        steps.append((set(run.steps), _transitions(run)))
    listed = []
    for (kind, where), entries in found.items():
        places = dict(where)
        severities = [
            entries[number][0] if number in entries else ("none" if _has(places, *those) else None)
            for number, those in enumerate(steps)
        ]
        known = sum(severity is not None for severity in severities)
        listed.append(
            {
                "kind": kind,
                "where": places,
                "place": place(places, names),
                "severity": severities,
                "in": len(entries),
                "of": known,
                "verdict": _verdict(len(entries), known),
                "causes": sorted({cause for _, causes in entries.values() for cause in causes}),
            }
        )
    return sorted(listed, key=lambda one: (-one["in"], one["kind"], sorted(one["where"].items())))


def _has(where: dict[str, int], steps: set[int], transitions: set[tuple[int, int]]) -> bool:
    """Tell whether a run has this place at all: another run may have other steps."""
    if "from_step" in where:
        return (where["from_step"], where["to_step"]) in transitions
    return where["step"] in steps if "step" in where else True


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
