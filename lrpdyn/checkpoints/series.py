"""From what was found to one ordered series: one source of steps, one unit, one entry a step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from lrpdyn.checkpoints.model import Checkpoint, Header, LeftOut, StepCandidate
from lrpdyn.checkpoints.readers import digest
from lrpdyn.checkpoints.steps import SOURCES, template
from lrpdyn.errors import CheckpointError

#: Names of copies: they are placed by what they hold, and are no series of their own.
_SPECIAL = re.compile(r"(^|[^a-z])(best|last|latest|final)([^a-z]|$)", re.I)
_VERSION = re.compile(r"-v(\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A checkpoint, and the numbers that may be its step, by their source."""

    path: Path
    format: str
    header: Header
    candidates: dict[str, StepCandidate]


def order(
    found: Sequence[Found], where: str, weights: str
) -> tuple[list[Checkpoint], list[LeftOut], str]:
    """Return the series in order, what is no part of it, and the unit of its steps.

    Raises
    ------
    CheckpointError
        There are several series, steps in different units, or two checkpoints at one step.
    """
    entries = _with_usable_numbers(found)
    numbered = [entry for entry in entries if entry.candidates]
    left_out = [
        LeftOut(path=entry.path, reason="no step in the file or its name")
        for entry in entries
        if not entry.candidates
    ]
    if not numbered:
        return [], left_out, "steps"
    steps = _steps(numbered, where)
    series = [entry for entry in numbered if entry.path in steps]
    left_out += [
        LeftOut(path=entry.path, reason="its step is not told as those of the others are")
        for entry in numbered
        if entry.path not in steps
    ]
    _check_one_series(series, where)
    unit = next((step.unit for step in steps.values()), "steps")
    checkpoints = [_checkpoint(entry, steps[entry.path], weights) for entry in series]
    checkpoints.sort(key=lambda checkpoint: (checkpoint.step, str(checkpoint.path)))
    ordered: list[Checkpoint] = []
    for _, tied in groupby(checkpoints, key=lambda checkpoint: checkpoint.step):
        chosen, beaten = _one_of(list(tied))
        ordered.append(chosen)
        left_out += beaten
    return ordered, left_out, unit


def same_weights(ordered: Sequence[Checkpoint]) -> list[tuple[int, ...]]:
    """Return the groups of steps whose weights are equal, by their checksums."""
    steps: dict[str, list[int]] = {}
    for checkpoint in ordered:
        if checkpoint.header.fingerprint is not None:
            steps.setdefault(checkpoint.header.fingerprint, []).append(checkpoint.step)
    return [tuple(group) for group in steps.values() if len(group) > 1]


def _with_usable_numbers(found: Sequence[Found]) -> list[Found]:
    """Drop the last number of a name where no other file of that pattern has another number."""
    values: dict[str, set[int]] = {}
    for entry in found:
        if "number" in entry.candidates:
            values.setdefault(template(entry.path.name), set()).add(
                entry.candidates["number"].value
            )
    usable = {name for name, numbers in values.items() if len(numbers) > 1 or len(found) == 1}
    return [
        entry
        if template(entry.path.name) in usable
        else replace(
            entry,
            candidates={
                source: number for source, number in entry.candidates.items() if source != "number"
            },
        )
        for entry in found
    ]


def _steps(numbered: Sequence[Found], where: str) -> dict[Path, StepCandidate]:
    """Return the step of each entry, all from one source or at least in one unit."""
    for source in SOURCES[:-1]:
        if _count(source, numbered) == len(numbered):
            return {entry.path: entry.candidates[source] for entry in numbered}
    for sources in (("file", "label"), ("file epoch", "epoch")):
        steps = {entry.path: _first(entry, sources) for entry in numbered}
        if len({step.value for step in steps.values() if step}) > 1 and all(steps.values()):
            return {path: step for path, step in steps.items() if step is not None}
    _check_units(numbered, where)
    source = max(SOURCES, key=lambda source: (_count(source, numbered), -SOURCES.index(source)))
    return {e.path: e.candidates[source] for e in numbered if source in e.candidates}


def _count(source: str, numbered: Sequence[Found]) -> int:
    """Return how many entries have a step from `source`; none if several all have the same."""
    values = [entry.candidates[source].value for entry in numbered if source in entry.candidates]
    return len(values) if len(set(values)) > 1 or len(numbered) == 1 else 0


def _check_units(numbered: Sequence[Found], where: str) -> None:
    """Raise CheckpointError where some entries have epochs only and others steps only."""
    only: dict[str, Found] = {}
    for entry in numbered:
        units = {number.unit for name, number in entry.candidates.items() if name != "number"}
        if len(units) == 1:
            only.setdefault(units.pop(), entry)
    if len(only) > 1:
        mixed = ", ".join(f"{entry.path.name} in {unit}" for unit, entry in sorted(only.items()))
        raise CheckpointError(f"{where}: steps in different units: {mixed}; choose with --pattern")


def _first(entry: Found, sources: Iterable[str]) -> StepCandidate | None:
    return next((entry.candidates[name] for name in sources if name in entry.candidates), None)


def _check_one_series(series: Sequence[Found], where: str) -> None:
    templates = Counter(template(entry.path.name) for entry in series)
    main = {name: count for name, count in templates.items() if not _SPECIAL.search(name)}
    templates = Counter(main) if main else templates
    several = [f"{name} ({count} files)" for name, count in templates.items() if count > 1]
    if len(several) > 1:
        raise CheckpointError(
            f"{where}: holds several series: {', '.join(several[:10])}; choose one with --pattern"
        )


def _checkpoint(entry: Found, candidate: StepCandidate, weights: str) -> Checkpoint:
    return Checkpoint(
        step=candidate.value,
        path=entry.path,
        format=entry.format,
        step_source=candidate.source,
        header=entry.header,
        weights=weights,
    )


def _one_of(tied: list[Checkpoint]) -> tuple[Checkpoint, list[LeftOut]]:
    """Make one entry of files at one step; different weights are refused unless names decide."""
    # A name with a number is the checkpoint, one without (best, last) its copy.
    tied.sort(key=lambda checkpoint: (not _has_number(checkpoint), str(checkpoint.path)))
    chosen, beaten = tied[0], []
    for other in tied[1:]:
        if _same_weights(chosen, other):
            chosen = replace(chosen, aliases=(*chosen.aliases, other.path))
            continue
        later = _later_version(chosen, other)
        if later is None and _has_number(chosen) and not _has_number(other):
            later = chosen
        if later is None:
            raise CheckpointError(
                f"{chosen.path} and {other.path}: two different checkpoints at step "
                f"{chosen.step}; choose with --pattern"
            )
        earlier = other if later is chosen else chosen
        beaten.append(
            LeftOut(path=earlier.path, reason=f"{later.path.name} is at its step, {later.step}")
        )
        chosen = later
    return chosen, beaten


def _has_number(checkpoint: Checkpoint) -> bool:
    return any(char.isdigit() for char in checkpoint.path.stem)


def _later_version(one: Checkpoint, other: Checkpoint) -> Checkpoint | None:
    """Return the later of two that differ in Lightning's ``-vN`` alone."""
    if _VERSION.sub("", one.path.stem) != _VERSION.sub("", other.path.stem):
        return None
    return max(one, other, key=_version)


def _version(checkpoint: Checkpoint) -> int:
    found = _VERSION.search(checkpoint.path.stem)
    return int(found[1]) if found else 0


def _same_weights(one: Checkpoint, other: Checkpoint) -> bool:
    if one.path.samefile(other.path):
        return True
    prints = one.header.fingerprint, other.header.fingerprint
    if None not in prints:
        return prints[0] == prints[1]
    return digest(one.path, one.format) == digest(other.path, other.format)
