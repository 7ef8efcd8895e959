"""From what was found to one ordered series: one source of steps, one unit, one entry a step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from lrpdyn.checkpoints.model import Checkpoint, Header, LeftOut, StepCandidate
from lrpdyn.checkpoints.names import NO_STEP, numbers_in, template
from lrpdyn.checkpoints.readers import digest
from lrpdyn.checkpoints.steps import SOURCES, Reading, read_steps
from lrpdyn.errors import CheckpointError

#: Names of copies: they are placed by what they hold, and are no series of their own.
_SPECIAL = re.compile(r"(^|[^a-z])(best|last|latest|final)([^a-z]|$)", re.I)
_VERSION = re.compile(r"-v(\d+)$")
_RUN = re.compile(r"seed|fold|rank|worker", re.I)
#: One unit, though only some files say it: by the file, else by its name.
_ALIKE = (("file", "label"), ("file epoch", "epoch"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A checkpoint: `name` is what its step is read from, `step` what the user reads it from."""

    path: Path
    format: str
    header: Header
    name: str
    step: StepCandidate | None = None


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """A series in order, what is no part of it, the unit of its steps, and what to say of them."""

    checkpoints: list[Checkpoint]
    left_out: list[LeftOut]
    unit: str = "steps"
    notes: tuple[str, ...] = ()


_Pair = tuple[Found, Reading]


def order(found: Sequence[Found], where: str, weights: str) -> Ordered:
    """Return the series in order.

    Raises
    ------
    CheckpointError
        There are several series, steps in different units, two checkpoints at one step, or several
        numbers that may be the step.
    """
    readings = read_steps(
        [entry.name for entry in found],
        [entry.header for entry in found],
        lambda place: found[place].path.stat().st_mtime,
    )
    pairs = list(zip(found, readings.of, strict=True))
    notes = readings.notes
    if any(entry.step is not None for entry in found):
        notes, steps = [], {entry.path: entry.step for entry in found if entry.step is not None}
    else:
        steps = _steps(pairs, where)
    left_out = [
        LeftOut(path=entry.path, reason=_why_not(reading))
        for entry, reading in pairs
        if entry.path not in steps
    ]
    series = [entry for entry in found if entry.path in steps]
    _check_left_out(pairs, series, where)
    notes = [*_check_one_series(series, where), *(notes if _by_name(steps) else [])]
    checkpoints = [_checkpoint(entry, steps[entry.path], weights) for entry in series]
    checkpoints.sort(key=lambda checkpoint: (checkpoint.step, str(checkpoint.path)))
    ordered: list[Checkpoint] = []
    for _, tied in groupby(checkpoints, key=lambda checkpoint: checkpoint.step):
        chosen, beaten = _one_of(list(tied))
        ordered.append(chosen)
        left_out += beaten
    if ordered:
        notes += _dropped(left_out)
    unit = next((step.unit for step in steps.values()), "steps")
    return Ordered(checkpoints=ordered, left_out=left_out, unit=unit, notes=tuple(notes))


def same_weights(ordered: Sequence[Checkpoint]) -> list[tuple[int, ...]]:
    """Return the groups of steps whose weights are equal, by their checksums."""
    steps: dict[str, list[int]] = {}
    for checkpoint in ordered:
        if checkpoint.header.fingerprint is not None:
            steps.setdefault(checkpoint.header.fingerprint, []).append(checkpoint.step)
    return [tuple(group) for group in steps.values() if len(group) > 1]


def _by_name(steps: dict[Path, StepCandidate]) -> bool:
    return any(step.source.startswith("name (") for step in steps.values())


def _dropped(left_out: Sequence[LeftOut]) -> list[str]:
    """Say which checkpoints are no part of the series, a line for each reason."""
    names: dict[str, list[str]] = {}
    for entry in left_out:
        names.setdefault(entry.reason, []).append(entry.path.name)
    return [
        f"skipped: {', '.join(sorted(some)[:3])}{f' and {len(some) - 3} more' * (len(some) > 3)} ({reason})"
        for reason, some in names.items()
    ]


def _why_not(reading: Reading) -> str:
    if reading.candidates:
        return "its step is not given as those of the others are"
    return "no step in the file or its name"


def _steps(pairs: Sequence[_Pair], where: str) -> dict[Path, StepCandidate]:
    """Return the step of each entry, all from one source or at least in one unit.

    Copies (``best``, ``final``) do not decide: they have a step where they tell it as the others do.
    """
    known = [(entry, reading) for entry, reading in pairs if reading.candidates or reading.open]
    main = [pair for pair in known if not _SPECIAL.search(pair[0].name)]
    main = main if len(main) > 1 else known
    for source in SOURCES[:-1]:
        if main and _count(source, main) == len(main):
            alike = next(alike for alike in _ALIKE if source in alike)
            return _told(known, (source, *alike), main)
    for alike in _ALIKE:
        steps = _told(main, alike, main)
        if len({step.value for step in steps.values()}) > 1 and len(steps) == len(main):
            return _told(known, alike, main)
    _check_units(main, where)
    asked = next((reading.open for _, reading in main if reading.open), None)
    if asked is not None:
        raise CheckpointError(
            f"{where}: nothing tells which number of the names is the step, {asked}; say it with "
            "--step-from REGEX, whose one group is the step, or choose files with --pattern"
        )
    source = max(SOURCES, key=lambda source: (_count(source, main), -SOURCES.index(source)))
    return _told(known, (source,), main)


def _told(
    pairs: Sequence[_Pair], sources: Iterable[str], main: Sequence[_Pair]
) -> dict[Path, StepCandidate]:
    """Return the steps that the first of `sources` tells, in the unit of the main series."""
    found = {}
    for entry, reading in pairs:
        step = next((reading.candidates[s] for s in sources if s in reading.candidates), None)
        if step is not None:
            found[entry.path] = step
    units = Counter(found[entry.path].unit for entry, _ in main if entry.path in found)
    unit = units.most_common(1)[0][0] if units else None
    return {path: step for path, step in found.items() if step.unit == unit}


def _count(source: str, pairs: Sequence[_Pair]) -> int:
    """Return how many entries have a step from `source`; none if several all have the same."""
    values = [r.candidates[source].value for _, r in pairs if source in r.candidates]
    return len(values) if len(set(values)) > 1 or len(pairs) == 1 else 0


def _check_units(pairs: Sequence[_Pair], where: str) -> None:
    """Raise CheckpointError where some entries have epochs only and others steps only."""
    only: dict[str, Found] = {}
    for entry, reading in pairs:
        units = {step.unit for name, step in reading.candidates.items() if name != "number"}
        if len(units) == 1:
            only.setdefault(units.pop(), entry)
    if len(only) > 1:
        mixed = ", ".join(f"{entry.path.name} in {unit}" for unit, entry in sorted(only.items()))
        raise CheckpointError(f"{where}: steps in different units: {mixed}; choose with --pattern")


def _check_left_out(pairs: Sequence[_Pair], series: Sequence[Found], where: str) -> None:
    """Raise CheckpointError where some of the files that are named alike would be left out."""
    taken = {entry.path for entry in series}
    others = [entry for entry, _ in pairs if entry.path not in taken and numbers_in(entry.name)]
    alike = {template(entry.name) for entry in series} if others else set()
    lost = [entry for entry in others if template(entry.name) in alike]
    if lost:
        raise CheckpointError(
            f"{where}: {lost[0].path.name} is named as the others are, but its step is not given as theirs "
            "is; say it with --step-from REGEX, or choose with --pattern"
        )


def _check_one_series(series: Sequence[Found], where: str) -> list[str]:
    """Return what to say of the runs that the series is of; several series are refused."""
    templates = Counter(template(entry.name) for entry in series)
    main = {name: count for name, count in templates.items() if not _SPECIAL.search(name)}
    several = [f"{name} ({n} files)" for name, n in (main or templates).items() if n > 1]
    of_runs = [entry.name for entry in series if _RUN.search(entry.name)]
    runs = Counter(
        f"{n.label} {n.text}" for name in of_runs for n in numbers_in(name) if _RUN.search(n.label)
    )
    labels = Counter(run.partition(" ")[0] for run in runs)
    varied = [run for run in runs if labels[run.partition(" ")[0]] > 1]
    if any(runs[run] > 1 for run in varied):
        several = [f"{run} ({runs[run]} files)" for run in varied]
        varied = []
    if len(several) > 1:
        raise CheckpointError(
            f"{where}: holds several series: {', '.join(several[:10])}; choose one with --pattern"
        )
    return [f"the names are of several runs: {', '.join(varied[:5])}"] if varied else []


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
            LeftOut(
                path=earlier.path,
                reason=f"{later.path.name} is at its step, {later.step}",
                step=later.step,
            )
        )
        chosen = later
    return chosen, beaten


def _has_number(checkpoint: Checkpoint) -> bool:
    """Tell whether a checkpoint is numbered: versions (``-v1``) and results are no numbers."""
    stem = checkpoint.path.stem
    return not _SPECIAL.search(stem) and any(n.unit != NO_STEP for n in numbers_in(stem))


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
