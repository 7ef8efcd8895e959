"""The ordered series of checkpoints in a folder, and why everything else is no part of it."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from lrpdyn.checkpoints.model import Checkpoint, Header, LeftOut, Listing, StepCandidate
from lrpdyn.checkpoints.payload import OptimizerStateError
from lrpdyn.checkpoints.readers import SUFFIXES, digest, find_reader, read_header
from lrpdyn.checkpoints.steps import SOURCES, step_candidates, template
from lrpdyn.errors import CheckpointError

_UNKNOWN = "holds no checkpoint of a known format"


@dataclass(frozen=True)
class _Found:
    path: Path
    format: str
    header: Header
    candidates: dict[str, StepCandidate]


def discover(
    checkpoints: str | Path,
    *,
    pattern: str | None = None,
    trust: bool = False,
    progress: Callable[[list[Path]], Iterable[Path]] = iter,
) -> Listing:
    """Return the checkpoints of a folder (or glob) in order of their training step.

    Parameters
    ----------
    checkpoints
        A folder, or a glob such as ``runs/*.zip``.
    pattern
        Keep only file names that match this glob.
    trust
        Unpickle files that are more than weights.
    progress
        Wraps the list of paths while they are read.

    Raises
    ------
    CheckpointError
        The folder does not exist, holds several series, or two checkpoints at one step.
    """
    found: list[_Found] = []
    left_out: list[LeftOut] = []
    for path in progress(_entries(str(checkpoints))):
        entry = _look_at(path, pattern, trust)
        if isinstance(entry, LeftOut):
            left_out.append(entry)
        else:
            found.append(entry)
    source = _common_source(found)
    series = [entry for entry in found if source in entry.candidates]
    left_out = [_judged(entry, found) for entry in left_out]
    left_out += [
        LeftOut(entry.path, "no step in the file or its name")
        for entry in found
        if source not in entry.candidates
    ]
    _check_one_series(series)
    ordered = sorted(series, key=lambda entry: (entry.candidates[source].value, str(entry.path)))
    units = {entry.candidates[source].unit for entry in series}
    return Listing(
        tuple(_without_aliases([_checkpoint(entry, source) for entry in ordered])),
        tuple(sorted(left_out, key=lambda entry: str(entry.path))),
        units.pop() if units else "steps",
    )


def _judged(entry: LeftOut, found: list[_Found]) -> LeftOut:
    """Call what is named like the checkpoints but cannot be read bad, and give it their step."""
    alike = template(entry.path.name) in {template(other.path.name) for other in found}
    if not (entry.bad or (alike and entry.reason == _UNKNOWN)):
        return entry
    candidates = step_candidates(entry.path.stem, Header({}))
    step = next((candidates[source].value for source in SOURCES if source in candidates), None)
    return LeftOut(entry.path, entry.reason, bad=True, step=step)


def _entries(where: str) -> list[Path]:
    folder = Path(where)
    try:
        if folder.is_dir():
            return sorted(folder.iterdir())
    except OSError as error:
        raise CheckpointError(f"{where}: cannot be listed: {error.strerror}") from error
    if folder.is_file():
        raise CheckpointError(
            f"{where}: is a file; expected the folder that holds the checkpoints, or a glob in quotes"
        )
    paths = sorted(map(Path, glob.glob(where)))
    if not paths:
        raise CheckpointError(f"{where}: no such folder, and no file matches it as a glob")
    return paths


def _look_at(path: Path, pattern: str | None, trust: bool) -> _Found | LeftOut:
    if pattern is not None and not fnmatch.fnmatch(path.name, pattern):
        return LeftOut(path, f"does not match --pattern {pattern}")
    if path.name.startswith(".") or path.name.endswith((".tmp", "~")):
        return LeftOut(path, "a hidden or temporary file")
    if path.is_dir():
        return LeftOut(path, "a folder")
    try:
        reader = find_reader(path)
        if reader is None:
            return LeftOut(path, _UNKNOWN)
        header = read_header(path, reader.format, trust=trust)
    except OptimizerStateError:
        return LeftOut(path, "an optimizer state")
    except CheckpointError as error:
        return LeftOut(path, str(error), bad=path.suffix in SUFFIXES)
    return _Found(path, reader.format, header, step_candidates(path.stem, header))


def _common_source(found: list[_Found]) -> str:
    """Return the source of steps that most files share, and by which they differ.

    One source for the whole series, so that no epoch stands between steps.
    """

    def usable(source: str) -> int:
        values = [entry.candidates[source].value for entry in found if source in entry.candidates]
        return len(values) if len(set(values)) > 1 or len(found) == 1 else 0

    return max(SOURCES, key=lambda source: (usable(source), -SOURCES.index(source)))


def _check_one_series(series: list[_Found]) -> None:
    templates = Counter(template(entry.path.name) for entry in series)
    several = [f"{name} ({count} files)" for name, count in templates.items() if count > 1]
    if len(several) > 1:
        raise CheckpointError(
            f"{series[0].path.parent}: holds several series: {', '.join(several)}; choose one with "
            "--pattern"
        )


def _checkpoint(entry: _Found, source: str) -> Checkpoint:
    candidate = entry.candidates[source]
    return Checkpoint(candidate.value, entry.path, entry.format, candidate.source, entry.header)


def _without_aliases(ordered: list[Checkpoint]) -> list[Checkpoint]:
    """Make one entry of files that hold the same weights at one step; refuse different ones."""
    chosen: list[Checkpoint] = []
    for checkpoint in ordered:
        last = chosen[-1] if chosen else None
        if last is None or last.step != checkpoint.step:
            chosen.append(_sharing_shapes(checkpoint, last))
        elif _same_weights(last, checkpoint):
            chosen[-1] = replace(last, aliases=(*last.aliases, checkpoint.path))
        else:
            raise CheckpointError(
                f"{last.path} and {checkpoint.path}: two different checkpoints at step "
                f"{last.step}; choose with --pattern"
            )
    return chosen


def _sharing_shapes(checkpoint: Checkpoint, last: Checkpoint | None) -> Checkpoint:
    """Keep one table of shapes for a series of thousands of checkpoints."""
    if last is None or last.header.shapes != checkpoint.header.shapes:
        return checkpoint
    return replace(checkpoint, header=replace(checkpoint.header, shapes=last.header.shapes))


def _same_weights(one: Checkpoint, other: Checkpoint) -> bool:
    if os.path.samefile(one.path, other.path):
        return True
    return digest(one.path, one.format) == digest(other.path, other.format)
