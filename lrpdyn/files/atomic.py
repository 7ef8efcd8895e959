"""Files that appear whole or not at all, and what is said where they cannot be written."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lrpdyn.errors import FullDiskError, RunError
from lrpdyn.system.memory import free_space

#: Down to here JSON is laid out in lines.
_DEEPEST = 3
#: The names that files have until they are written.
TEMPORARY = re.compile(r"\.\w[\w-]*\.\w+\.\w+\.tmp")
#: Seconds after which a file that is written has its lock for sure.
_MOMENT = 5.0
_JSON = json.JSONEncoder(allow_nan=False)
#: Some rows of a table, as its columns: values of as many rows each.
Block = Sequence[Sequence[Any]]
#: Rows of a table whose cells are in memory at once.
BLOCK_ROWS = 4096
#: What a cell of a CSV has quotes for.
_QUOTED = re.compile('[,"\\r\\n]')


_before_naming: ContextVar[Callable[[], None]] = ContextVar("before", default=lambda: None)


@contextlib.contextmanager
def naming_after(check: Callable[[], None]) -> Iterator[None]:
    """Call `check` before a file that is written within takes its name; where it raises, none does."""
    token = _before_naming.set(check)
    try:
        yield
    finally:
        _before_naming.reset(token)


@contextlib.contextmanager
def whole_file(path: Path, mode: str = "w", *, settled: bool = True) -> Iterator[IO[Any]]:
    """Open a file next to `path` that takes its name once it is written, flushed and closed.

    Its name is on the disk then, too, unless `settled` leaves that to a later `sync_folder`: of many
    files, one is enough.

    Raises
    ------
    RunError
        It cannot be written; the message says why, and what to do.
    """
    temporary = path.parent / f".{path.name}.{os.urandom(4).hex()}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        options = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
        with open(temporary, mode.replace("w", "x"), **options) as file:  # type: ignore[call-overload]
            with contextlib.suppress(OSError):  # some network file systems have no such lock
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
            file.flush()
            os.fsync(file.fileno())
        _before_naming.get()()
        os.replace(temporary, path)
        if settled:
            sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def delete_killed(path: Path) -> None:
    """Delete what processes that were killed while they wrote `path` left next to it.

    Who is alive has a lock on its file, a moment after it made it.
    """
    begin = f".{path.name}."
    for left in path.parent.glob(".*.tmp"):
        if left.name.startswith(begin) and TEMPORARY.fullmatch(left.name):
            with contextlib.suppress(OSError), left.open("rb") as file:
                is_new = os.fstat(file.fileno()).st_mtime > time.time() - _MOMENT
                if not (is_new or left.is_symlink()):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    left.unlink()


def sync_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk: a rename alone can be lost with the power.

    Raises
    ------
    RunError
        The disk fails.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # a folder cannot be opened on Windows, where renames are written through
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems know no fsync of folders; they write names through.
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EROFS):
            raise cannot_write(folder, error) from error
    finally:
        os.close(descriptor)


def cannot_write(path: Path, error: OSError) -> RunError:
    """Return the error that says why `path` cannot be written, and what to do about it."""
    space = free_space(path.parent)
    left = "" if space is None else f" ({space:,} bytes are free)"
    says = {
        errno.ENOSPC: f"no space is left on its disk{left}; free some, or choose a folder on "
        "another with -o",
        errno.EDQUOT: "your quota on its disk is used up; free some, or choose a folder elsewhere with -o",
        errno.EFBIG: "it would be larger than a file may be here (ulimit -f, or the file system); "
        "choose another folder with -o",
        errno.EROFS: "the file system is read-only; choose another folder with -o",
        errno.ENAMETOOLONG: "its path is too long for the file system; choose a shorter one with -o",
        errno.ENOENT: "its folder, or what was written of it, was deleted meanwhile, by another process; try "
        "again when none writes there",
        errno.EACCES: "you may not write there (permission denied); choose another folder with -o",
    }.get(error.errno or 0)
    says = says or f"{error.strerror or error}; choose another folder with -o"
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return (FullDiskError if is_full else RunError)(f"{path}: cannot be written: {says}")


def save_pieces(
    path: Path,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    parts: Iterable[NDArray[Any]],
    *,
    settled: bool = True,
) -> str:
    """Write an array of `shape` as .npy, whole or not at all; return the SHA-256 of the file.

    It comes in `parts` of some samples each, in order; `settled` as of `whole_file`.
    """
    side_by_side = ({path: part} for part in parts)
    return save_together({path: shape}, dtype, side_by_side, settled=settled)[path]


def save_together(
    shapes: Mapping[Path, tuple[int, ...]],
    dtype: DTypeLike,
    parts: Iterable[Mapping[Path, NDArray[Any]]],
    *,
    settled: bool = True,
) -> dict[Path, str]:
    """Write several arrays as `save_pieces` does, whose parts come side by side."""
    kind = np.dtype(dtype)
    with contextlib.ExitStack() as stack:
        files = {
            path: stack.enter_context(whole_file(path, "wb", settled=settled)) for path in shapes
        }
        digests = {path: hashlib.sha256() for path in shapes}

        def write(path: Path, data: bytes | memoryview) -> None:
            digests[path].update(data)
            files[path].write(data)  # np.save would lose the number of the error on a full disk

        descr = np.lib.format.dtype_to_descr(kind)
        for path, shape in shapes.items():
            said, header = {"descr": descr, "fortran_order": False, "shape": shape}, io.BytesIO()
            np.lib.format.write_array_header_1_0(header, said)
            write(path, header.getvalue())
        for side_by_side in parts:
            for path, part in side_by_side.items():
                flat = np.ascontiguousarray(part, dtype=kind).reshape(-1)
                write(path, flat.view(np.uint8).data)
    return {path: digest.hexdigest() for path, digest in digests.items()}


def save_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, in which NaN is not allowed."""
    with whole_file(path) as file:
        file.writelines(_laid_out(value, 0))
        file.write("\n")


def _laid_out(value: Any, depth: int) -> Iterator[str]:
    """Yield `value` as JSON: a line for every entry of its mappings and lists, two levels down.

    What is deeper is on the line of its entry: indented throughout, Python's own encoder takes ten
    times as long. The text comes in pieces: of a long list of steps all of it is never in memory.
    """
    space, end = " " * (depth + 1), " " * depth
    if depth < _DEEPEST and isinstance(value, Mapping) and value:
        before = "{\n"
        for name, entry in value.items():
            yield f"{before}{space}{json.dumps(str(name))}: "
            yield from _laid_out(entry, depth + 1)
            before = ",\n"
        yield f"\n{end}}}"
    elif depth < _DEEPEST and isinstance(value, list) and value and isinstance(value[0], dict):
        before = "[\n"
        for entry in value:
            yield f"{before}{space}{_JSON.encode(entry)}"
            before = ",\n"
        yield f"\n{end}]"
    else:
        yield _JSON.encode(value)


def save_table(path: Path, columns: Sequence[str], blocks: Iterable[Block]) -> None:
    """Write a CSV in which floats read back exactly and NaN is empty; its rows come in blocks."""
    with whole_file(path) as file:
        write_table(file, columns, blocks)


def write_table(file: IO[str], columns: Sequence[str], blocks: Iterable[Block]) -> None:
    """Write into an open file what `save_table` writes."""
    file.write(",".join(map(_cell, columns)) + "\n")
    for block in blocks:
        for start in range(0, len(block[0]), BLOCK_ROWS):
            cells = [_cells(column[start : start + BLOCK_ROWS]) for column in block]
            file.write("\n".join(map(",".join, zip(*cells, strict=True))) + "\n")


def blocks_of(rows: Iterable[Sequence[Any]]) -> Iterator[Block]:
    """Yield rows as `save_table` takes them."""
    left = iter(rows)
    while part := list(islice(left, BLOCK_ROWS)):
        yield list(zip(*part, strict=True))


def _cells(values: Sequence[Any]) -> Sequence[str]:
    """Return the cells of a column: each kind of value that is alone in it has a faster way."""
    kinds = set(map(type, values))
    if kinds == {float}:
        cells = list(map(repr, values))
        return ["" if cell == "nan" else cell for cell in cells] if "nan" in cells else cells
    if kinds in ({int}, {bool}, {str}):
        known = {value: _cell(value) for value in set(values)}
        return [known[value] for value in values]
    return list(map(_cell, values))


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool | np.bool_):
        return "1" if value else "0"
    if isinstance(value, float | np.floating):
        return repr(float(value))
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
