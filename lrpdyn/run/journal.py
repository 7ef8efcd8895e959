"""journal.jsonl: a checksummed line for each step that is done, only ever added to."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from lrpdyn.errors import RunError
from lrpdyn.files.atomic import cannot_write, sync_folder, whole_file
from lrpdyn.files.json_data import LARGE, Each, fault, parse_json

JOURNAL = "journal.jsonl"
#: Bytes that no line has: the facts of a step with a million samples take a third.
_LONGEST = 1 << 30

_OF_LAYERS = (None, Each((None, float)))
_OF_WEIGHTS = {"change?": _OF_LAYERS, "norm?": _OF_LAYERS, "back?": _OF_LAYERS, "back_step?": (None, int),
               "sketch?": (None, [float]), "reset?": [str]}  # fmt: skip
_OF_UNITS = {"dormant?": (None, float), "rank?": (None, float), "gram?": (None, str)}
_EXPECTED = {"step": int, "path": str, "digest?": (None, str), "sha256?": (None, str), "size": int,
             "modified": int, "changed?": int, "inode?": int, "environment?": Each(str),
             "evidence?": {"weights?": _OF_WEIGHTS, "dead?": _OF_LAYERS, "units?": Each(_OF_UNITS)},
             "status": frozenset({"done", "not_finite"})}  # fmt: skip


def append_journal(run: Path, *records: Mapping[str, Any]) -> None:
    """Add a checksummed line for each record, and wait until they are on the disk."""
    path = run / JOURNAL
    try:
        new = not path.exists()
        with path.open("a", encoding="utf-8") as file:
            file.writelines(_line(record) for record in records)
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(run)
    except OSError as error:
        raise cannot_write(path, error) from error


def _line(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, separators=(",", ":"), allow_nan=False)
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def read_journal(run: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of the journal, one after the other, and cut off a torn last line.

    Raises
    ------
    RunError
        A line before the last is damaged, or the file cannot be read.
    """
    return (record for _, record in placed_records(run))


def placed_records(run: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the records as `read_journal` does, each with the place of its line in the file."""
    path = run / JOURNAL
    whole = 0
    for number, line in enumerate(lines := _lines(path), start=1):
        record = _parsed(line)
        if record is None:
            if any(line.rstrip(b"\n") for line in lines):
                raise RunError(
                    f"{path}: line {number} is damaged; lrpdyn verify {run} says how to go on"
                )
            try:
                os.truncate(path, whole)
            except OSError as error:
                raise cannot_write(path, error) from error
            return
        yield whole, record
        whole += len(line)


def record_at(run: Path, place: int) -> dict[str, Any]:
    """Return the record whose line is at a place that `placed_records` gave.

    Raises
    ------
    RunError
        The line is not what it was, or the file cannot be read.
    """
    path = run / JOURNAL
    try:
        with path.open("rb") as file:
            file.seek(place)
            record = _parsed(file.readline())
    except OSError as error:
        raise _cannot_read(path, error) from error
    if record is None:
        raise RunError(f"{path}: a line is damaged; lrpdyn verify {run} says how to go on")
    return record


def whole_records(run: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of the lines that are whole, and leave the file as it is."""
    for line in _lines(run / JOURNAL):
        record = _parsed(line)
        if record is not None:
            yield record


def is_whole(run: Path) -> bool:
    """Tell whether each line of the journal is whole, but for a torn last one."""
    lines = _lines(run / JOURNAL)
    # A torn last line is the one that may be anything: nothing comes after it.
    return all(_parsed(line) is not None or next(lines, None) is None for line in lines)


def forget(run: Path, steps: Collection[int]) -> None:
    """Take `steps`, and lines that are damaged, out of the journal: they are then explained again.

    The two steps after each of them were compared with its weights: these are looked at again too.
    """
    records = {record["step"]: record for record in whole_records(run)}
    kept, before, back = [], None, None
    for step, record in sorted(records.items()):
        if step not in steps:
            evidence = record.get("evidence")
            if isinstance(evidence, dict) and before in steps:
                record = {**record, "evidence": {**evidence, "key": None}}
            elif isinstance(evidence, dict) and back in steps:
                record = {**record, "evidence": _without_back(evidence)}
            kept.append(record)
        before, back = step, before
    with whole_file(run / JOURNAL) as file:
        file.writelines(_line(record) for record in kept)


def _without_back(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step's evidence as one that was never compared with the step two before it."""
    key, weights = evidence.get("key"), evidence.get("weights")
    ends = [*key[:1], *key[-1:]] if isinstance(key, list) else None
    known = {**weights, "back": None, "back_step": None} if isinstance(weights, dict) else weights
    return {**evidence, "key": ends, "weights": known}


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines, of which one at a time is in memory: a journal grows as the steps do."""
    try:
        with path.open("rb") as file:
            while line := file.readline(_LONGEST):
                yield line
                if len(line) == _LONGEST:  # of no journal: what follows is not read either
                    return
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot_read(path, error) from error


def _cannot_read(path: Path, error: OSError) -> RunError:
    return RunError(
        f"{path}: cannot be read: {error.strerror or error}; mend that, or delete it and make the run again"
    )


def _parsed(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or f"{zlib.crc32(text):08x}".encode() != checksum:
        return None
    try:
        record: dict[str, Any] = parse_json(text)
    except ValueError:
        return None
    # Nothing is 1e100 that is made of a network's float32.
    return record if fault(record, _EXPECTED) is None and not LARGE.search(text) else None
