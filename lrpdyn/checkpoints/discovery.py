"""The ordered series of checkpoints in a folder, and why everything else is no part of it."""

from __future__ import annotations

import glob
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lrpdyn.checkpoints.model import Checkpoint, Header, LeftOut, Listing, Shapes
from lrpdyn.checkpoints.names import template
from lrpdyn.checkpoints.payload import OptimizerStateError
from lrpdyn.checkpoints.prints import shortened
from lrpdyn.checkpoints.readers import find_reader, read_header, suffixes
from lrpdyn.checkpoints.selection import Selection
from lrpdyn.checkpoints.series import Found, order, same_weights
from lrpdyn.checkpoints.settling import wait_for
from lrpdyn.checkpoints.steps import step_in
from lrpdyn.errors import CheckpointError
from lrpdyn.files.nearby import similar_path
from lrpdyn.files.reasons import reason_of
from lrpdyn.remote.path import RemotePath, as_path, each, matching

Progress = Callable[[list[Path]], Iterable[Path]]
#: Reads the header of an entry.
Reading = Callable[[Path], "Found | LeftOut"]
#: What reads an entry instead; it gets the usual reading, which it may call.
Instead = Callable[[Path, Reading], "Found | LeftOut"]

_UNKNOWN = "holds no checkpoint of a known format"
_FOLDER = "a folder"
_WRITTEN = "is still being written"
#: What is not worth reading, by its name: it is large, or still being written.
_UNREAD = (
    (re.compile(r"replay_?buffer"), "a replay buffer"),
    (re.compile(r"vec_?normalize"), "the running statistics of observations"),
    (re.compile(r"[_.-](temp|tmp|part|partial|incomplete|lock)$"), "a hidden or temporary file"),
)
#: What a file is that is named so and holds no weights of a network.
_OTHER = (
    (re.compile(r"(^|[_.-])(optimi[sz]er|optim)s?([_.-]|$)"), "an optimizer state"),
    (re.compile(r"(^|[_.-])(lr_)?scheduler([_.-]|$)"), "a scheduler state"),
    (re.compile(r"(^|[_.-])criterion([_.-]|$)"), "the state of a loss function"),
    (re.compile(r"(^|[_.-])(rng_state|random_states?)([_.-]|$)"), "a random number state"),
    (
        re.compile(r"(^|[_.-])(training_args|(grad_)?scaler|sampler)([_.-]|$)"),
        "a trainer's settings",
    ),
)
_TEMPORARY = (".tmp", "~", ".swp")
_MOST_FOLDERS = 1000
_DEEPEST = 3


@dataclass(frozen=True, kw_only=True)
class _Where:
    """The requested place, its entries, and the folder that they are in (None: those of a glob)."""

    name: str
    entries: list[Path]
    root: Path | None

    def name_of(self, path: Path) -> str:
        """Return what the step of an entry is read from: its name, or what a glob leaves open."""
        if self.root is not None:
            return path.name
        fixed = re.split(r"[*?[]", self.name, maxsplit=1)[0].rpartition("/")[0]
        return str(path).removeprefix(f"{fixed}/") if fixed else str(path)


@dataclass(frozen=True, kw_only=True)
class _How:
    """How entries are read: which of them, and how far they are trusted."""

    selection: Selection
    trust: bool
    links: bool


def discover(
    checkpoints: str | Path,
    *,
    pattern: str | None = None,
    trust: bool = False,
    links: bool = False,
    selection: Selection | None = None,
    progress: Progress = iter,
    instead: Instead | None = None,
) -> Listing:
    """Return the checkpoints of a folder (or glob) in order of their training step.

    A folder that holds no series is entered where just one folder in it does.

    Parameters
    ----------
    checkpoints
        A folder, or a glob such as ``runs/*.zip``; an address such as ``s3://bucket/run`` is read
        by fsspec.
    pattern
        Keep only file names that match this glob (short for a `selection`).
    trust
        Unpickle files that are more than weights.
    links
        Follow links that leave the folder.
    selection
        Which of the checkpoints, and which of their weights.
    progress
        Wraps the list of paths while they are read.
    instead
        Reads each entry instead of the usual reading; other folders are then not entered.

    Raises
    ------
    CheckpointError
        The folder does not exist, holds several series, or two checkpoints at one step.
    """
    chosen = selection or Selection(pattern=pattern)
    how = _How(selection=chosen, trust=trust, links=links)
    where = _entries(str(checkpoints))
    found, left_out = _read_all(where, how, progress, instead)
    notes: list[str] = []
    root = where.root if instead is None else None
    if len(found) < 2 and not any(entry.bad for entry in left_out) and root is not None:
        deeper = _deeper(root, how)
        if deeper is not None:
            notes.append(f"the checkpoints are in {deeper}")
            where = _entries(deeper)
            found, left_out = _read_all(where, how, progress)
    named_alike = {template(entry.path.name) for entry in found}
    left_out = [_judged(entry, named_alike, chosen) for entry in left_out]
    if instead is None:  # otherwise the caller knows what is being written
        left_out, written = _settled(left_out, lambda path: _read(path, where, how))
        notes += [f"{entry.path.name} was being written, and was waited for" for entry in written]
        notes += [f"{entry.path.name} {_WRITTEN}: skipped; the same command reads it later"
                  for entry in left_out if entry.reason == _WRITTEN]  # fmt: skip
        found += written
    series = order(found, where.name, chosen.weights)
    notes += series.notes
    found.clear()  # with the numbers that may have been steps, it takes as much as the series
    taken, not_taken = chosen.choose(series.checkpoints)
    executed = sorted({name for entry in taken for name in entry.header.executes})
    if executed:
        notes.append(f"trusted: reading these checkpoints runs {', '.join(executed)}")
    if any(entry.header.averaged for entry in taken):
        notes.append(
            "the weights are the average that Lightning's callback keeps in state_dict; those that "
            "training went on with: --weights current_model_state"
        )
    everything = [*left_out, *series.left_out, *not_taken]
    return Listing(
        checkpoints=_sharing_headers(taken),
        left_out=tuple(sorted(everything, key=lambda entry: str(entry.path))),
        unit=series.unit,
        notes=tuple(notes),
        same=tuple(same_weights(taken)),
    )


def _settled(left_out: Sequence[LeftOut], read: Reading) -> tuple[list[LeftOut], list[Found]]:
    """Read again what is bad and changed lately: a training job may have been writing it."""
    settled = wait_for(entry.path for entry in left_out if entry.bad)
    kept: list[LeftOut] = []
    written: list[Found] = []
    for entry in left_out:
        if entry.path in settled.changing:
            kept.append(LeftOut(path=entry.path, reason=_WRITTEN, step=entry.step))
            continue
        again = read(entry.path) if entry.path in settled.still else entry
        if isinstance(again, Found):
            written.append(again)
        else:
            kept.append(entry)
    return kept, written


def _entries(where: str) -> _Where:
    folder = as_path(where)
    try:
        if folder.is_dir():
            return _Where(name=where, entries=sorted(folder.iterdir()), root=folder)
        if folder.is_file():
            raise CheckpointError(
                f"{where}: is a file; expected the folder that holds the checkpoints, or a glob in quotes"
            )
        remote = isinstance(folder, RemotePath)
        paths = matching(where) if remote else sorted(map(Path, glob.glob(where)))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{where}: cannot be listed: {reason_of(error)}") from error
    if not paths:
        raise CheckpointError(
            f"{where}: no such folder, and no file matches it as a glob{similar_path(where)}"
        )
    return _Where(name=where, entries=paths, root=None)


def _read_all(
    where: _Where,
    how: _How,
    progress: Progress,
    instead: Instead | None = None,
) -> tuple[list[Found], list[LeftOut]]:
    def read(path: Path) -> Found | LeftOut:
        return _read(path, where, how)

    found: list[Found] = []
    left_out: list[LeftOut] = []
    tables: dict[tuple[tuple[str, tuple[int, ...]], ...], Shapes] = {}
    entries = each(read if instead is None else lambda path: instead(path, read), where.entries)
    for _, entry in zip(progress(where.entries), entries, strict=True):
        if isinstance(entry, LeftOut):
            left_out.append(entry)
        else:
            found.append(_sharing_shapes(entry, tables))
    return found, left_out


def _read(path: Path, where: _Where, how: _How) -> Found | LeftOut:
    selection, root = how.selection, where.root
    if not selection.matches(path):
        return LeftOut(path=path, reason=f"does not match --pattern {selection.pattern}")
    reason = _left_out_unread(path, root, how.links)
    if reason is not None:
        return LeftOut(path=path, reason=reason)
    name, step = where.name_of(path), None
    if selection.step_from is not None:
        step = selection.step_in(path.name, name)
        if step is None:
            return LeftOut(path=path, reason=f"does not match --step-from {selection.step_from}")
    is_folder = path.is_dir()
    try:
        reader = find_reader(path)
        if reader is None:
            return LeftOut(path=path, reason=_FOLDER if is_folder else _UNKNOWN)
        if is_folder and root is not None and not how.links:
            for file in reader.files(path):
                if not file.resolve().is_relative_to(root.resolve()):
                    return LeftOut(path=path, reason=_leaves(file.resolve()))
        header = read_header(path, reader.format, trust=how.trust, weights=selection.weights)
    except OptimizerStateError:
        return LeftOut(path=path, reason="an optimizer state")
    except CheckpointError as error:
        other = _named_as(path, _OTHER)
        if other is not None:
            return LeftOut(path=path, reason=other)
        bad = path.suffix in suffixes() or (is_folder and _is_numbered(path))
        return LeftOut(path=path, reason=str(error), bad=bad)
    return Found(
        path=path,
        format=reader.format,
        header=header,
        name=_without_suffix(name, path.suffix, is_folder),
        step=step,
    )


def _left_out_unread(path: Path, root: Path | None, links: bool) -> str | None:
    """Return why an entry is skipped before it is opened, or None if it is to be read."""
    if path.name.startswith(".") or path.name.endswith(_TEMPORARY):
        return "a hidden or temporary file"
    try:
        if path.is_symlink():
            target = path.resolve()
            if not target.exists():
                return "a link to nothing"
            inside = root is None or target.is_relative_to(root.resolve())
            if not inside and not links:
                return _leaves(target)
        mode = path.stat().st_mode
    except (OSError, RuntimeError):
        return "a link to nothing"
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        return "no plain file"
    return _named_as(path, _UNREAD)


def _leaves(target: Path) -> str:
    return f"a link that leaves the folder, to {target}; give that folder, or --links"


def _named_as(path: Path, kinds: Sequence[tuple[re.Pattern[str], str]]) -> str | None:
    lowered = path.name.lower()
    stem = lowered.rpartition(".")[0] or lowered
    return next((what for named, what in kinds if named.search(stem)), None)


def _without_suffix(name: str, suffix: str, is_folder: bool) -> str:
    return name if is_folder else name.removesuffix(suffix).removesuffix(".pth")


def _is_numbered(path: Path) -> bool:
    return any(char.isdigit() for char in path.name)


def _judged(entry: LeftOut, named_alike: set[str], selection: Selection) -> LeftOut:
    """Return the entry as bad, with its step, where it is named like the checkpoints."""
    if not entry.bad and entry.reason != _UNKNOWN:
        return entry
    if not entry.bad and template(entry.path.name) not in named_alike:
        return entry
    if selection.step_from is None:
        told = step_in(entry.path.stem)
    else:
        told = selection.step_in(entry.path.name, str(entry.path))
    step = None if told is None else told.value
    outside = None if step is None else selection.outside(step)
    if outside is not None:
        return LeftOut(path=entry.path, reason=outside, step=step)
    # A bad entry's reason is read alone, in the error that lists them all.
    reason = entry.reason.removeprefix(f"{entry.path}: ")
    return LeftOut(path=entry.path, reason=f"{entry.path}: {reason}", bad=True, step=step)


def _sharing_shapes(
    entry: Found, tables: dict[tuple[tuple[str, tuple[int, ...]], ...], Shapes]
) -> Found:
    """Keep one table of shapes for a series of thousands of checkpoints."""
    table = tables.setdefault(tuple(entry.header.shapes.items()), entry.header.shapes)
    return replace(entry, header=replace(entry.header, shapes=table))


def _sharing_headers(series: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    """Keep one header for a network, without what put its checkpoints in order."""
    shared: list[Checkpoint] = []
    header: Header | None = None
    for checkpoint in series:
        own = replace(checkpoint.header, step=None, epoch=None, fingerprint=None)
        header = header if header == own else own
        found = checkpoint.header.fingerprint
        short = None if found is None else shortened(found)
        shared.append(replace(checkpoint, header=header, fingerprint=short))
    return tuple(shared)


def _deeper(root: Path, how: _How) -> str | None:
    """Return the one folder below `root` that holds a series, at the least depth, if any does.

    Raises
    ------
    CheckpointError
        There are several, or each folder holds one checkpoint: then the message says which glob they are.
    """
    level, hint = [root], ""
    for depth in range(1, _DEEPEST + 1):
        level = [
            inside
            for folder in level
            for inside in sorted(folder.iterdir())
            if inside.is_dir()
            and (how.links or not inside.is_symlink())
            and not inside.name.startswith(".")
        ][:_MOST_FOLDERS]
        held = {folder: _held(folder, how) for folder in level}
        holding = [folder for folder, count in held.items() if count > 1]
        if len(holding) == 1:
            return str(holding[0])
        if holding:
            names = ", ".join(map(str, holding[:5])) + " ..." * (len(holding) > 5)
            raise CheckpointError(
                f"{root}: holds no series itself, but several folders of them: {names}; give one"
            )
        single = [folder for folder, count in held.items() if count == 1]
        if len(single) > 1 and not hint:
            hint = (
                f"{len(single)} folders with a checkpoint each: '{_glob(root, single, how, depth)}'"
            )
    if hint:
        raise CheckpointError(
            f"{root}: holds no series itself; give a glob in quotes, there are {hint}"
        )
    return None


def _glob(root: Path, folders: Sequence[Path], how: _How, depth: int) -> str:
    """Return the glob of one checkpoint in each of `folders`."""
    paths = [found.path for folder in folders for found in _found(folder, how)]
    parts = [path.relative_to(root).parts for path in paths]
    open_parts = [_pattern([part[at] for part in parts]) for at in range(depth + 1)]
    return str(root.joinpath(*open_parts))


def _pattern(names: Sequence[str]) -> str:
    """Return a glob of names: what they begin and end with alike."""
    begin = _begin(names)
    rest = [name[len(begin) :] for name in names]
    end = _begin([name[::-1] for name in rest])[::-1]
    return glob.escape(begin) + "*" * any(rest) + glob.escape(end)


def _begin(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    alike = [a == b for a, b in zip(first, last, strict=False)]
    return first[: [*alike, False].index(False)]


def _found(folder: Path, how: _How) -> list[Found]:
    try:
        where = _entries(str(folder))
    except CheckpointError:
        return []
    return _read_all(where, how, iter)[0]


def _held(folder: Path, how: _How) -> int:
    """Return how many checkpoints a folder holds, damaged ones among them."""
    try:
        where = _entries(str(folder))
    except CheckpointError:
        return 0
    found, left_out = _read_all(where, how, iter)
    return len(found) + sum(entry.bad for entry in left_out)
