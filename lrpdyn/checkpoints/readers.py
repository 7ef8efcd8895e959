"""One small reader for each format, chosen by what is in a file or folder, never by its name.

To add a format, write a file in ``formats/`` and add its reader to `READERS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from lrpdyn.checkpoints import signatures
from lrpdyn.checkpoints.containers import ZIP, damaged, digest_of, open_archive, open_file
from lrpdyn.checkpoints.digests import USUAL, algorithm_of
from lrpdyn.checkpoints.formats import (
    arrays,
    distributed,
    folders,
    live,
    safetensors,
    sb3,
    torchfile,
    torchrl,
)
from lrpdyn.checkpoints.model import Choice, Entry, Header, Reader
from lrpdyn.errors import CheckpointError

#: Where several recognise an entry, the first reads it.
READERS: tuple[Reader, ...] = (
    *sb3.READERS,
    torchfile.READER,
    safetensors.READER,
    live.READER,
    arrays.READER,
    distributed.READER,
    torchrl.READER,
    *folders.READERS,
)

_HEAD = 512


def suffixes() -> frozenset[str]:
    """Return the endings of file names that promise a checkpoint."""
    return frozenset(suffix for reader in READERS for suffix in reader.suffixes)


def find_reader(path: Path) -> Reader | None:
    """Return the reader for what is in `path`, or None for what is no checkpoint.

    Raises
    ------
    CheckpointError
        It cannot be opened, is cut short, or is known to be of another kind; the message says
        which, and what to do.
    """
    entry = _folder(path) if path.is_dir() else _file(path)
    with _naming(path):
        reader = next((reader for reader in READERS if reader.recognise(entry)), None)
    if reader is None:
        kind = (
            signatures.kind_of_folder(entry.names)
            or signatures.kind_of_archive(entry.members)
            or (signatures.kind_of_file(entry.head, path.name) if entry.head else None)
        )
        if kind is not None:
            raise CheckpointError(f"{path}: {kind}")
    return reader


def read_header(path: Path, format: str, *, trust: bool = False, weights: str = "model") -> Header:
    """Return the header of the entry at `path`; its weights are not read."""
    with _naming(path):
        return _reader(format).header(path, Choice(weights=weights, trust=trust))


def read_weights(
    path: Path,
    format: str,
    *,
    trust: bool = False,
    weights: str = "model",
    algorithm: str = USUAL,
) -> tuple[Mapping[str, Tensor], str]:
    """Return the weights by key, and the digest of the bytes that hold them.

    Raises
    ------
    CheckpointError
        The file is damaged, wants to run code and is not trusted, or changed meanwhile.
    """
    reader, choice = _reader(format), Choice(weights=weights, trust=trust)
    with _naming(path):
        before = _content_stamp(path, format)
        found = (
            (reader.weights(path, choice), digest(path, format, algorithm))
            if reader.both is None
            else reader.both(path, choice, algorithm)
        )
        changed = _content_stamp(path, format) != before
    if changed:
        # The weights and the digest may be of two files, or of half of one.
        raise damaged(f"{path}: was replaced or written while it was read")
    return found


def _content_stamp(path: Path, format: str) -> dict[str, int]:
    """Return the stamp without the time at which a name or a right of the file changed."""
    return {name: value for name, value in stamp(path, format).items() if name != "changed"}


def read_weights_again(
    path: Path, format: str, *, trust: bool = False, weights: str = "model"
) -> Mapping[str, Tensor]:
    """Return the weights alone, of an entry whose digest is known; see `read_weights`."""
    return _reader(format).weights(path, Choice(weights=weights, trust=trust))


def digest(path: Path, format: str, algorithm: str = USUAL) -> str:
    """Return the digest of the bytes that hold the weights, after the name of its algorithm."""
    reader = _reader(format)
    if reader.digest is not None:
        return reader.digest(path, algorithm)
    return digest_of(algorithm, *reader.files(path))


def has_digest(path: Path, format: str, expected: str | None) -> bool:
    """Tell whether the weights have a digest; none has one of an algorithm that is not known here."""
    algorithm = algorithm_of(expected or "")
    return algorithm is not None and digest(path, format, algorithm) == expected


def files_of(path: Path, format: str) -> list[Path]:
    """Return the files that hold the weights."""
    return _reader(format).files(path)


def stamp(path: Path, format: str) -> dict[str, int]:
    """Return what changes when the files that hold the weights do.

    Their ``size`` in bytes, when their content was last ``modified`` and their status ``changed`` (ns),
    which cannot be set back, and their ``inode``; of several files the sums and the latest times.

    Raises
    ------
    CheckpointError
        One of them is gone, or cannot be looked at.
    """
    with _naming(path):
        found = [file.stat() for file in files_of(path, format)]
    return {
        "size": sum(status.st_size for status in found),
        "modified": max(status.st_mtime_ns for status in found),
        "changed": max(status.st_ctime_ns for status in found),
        "inode": sum(status.st_ino for status in found),
    }


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the entry where a name in it cannot be that of a file, say."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error


def known_format(format: str) -> str:
    """Return `format`; raises ValueError where there is no such one."""
    if all(reader.format != format for reader in READERS):
        raise ValueError(f"no format is called {format}")
    return format


def _reader(format: str) -> Reader:
    return next(reader for reader in READERS if reader.format == format)


def _file(path: Path) -> Entry:
    with open_file(path) as file:
        head = file.read(_HEAD)
        if not head:
            raise damaged(f"{path}: is empty")
        if not head.startswith(ZIP):
            return Entry(path, head=head)
        members = open_archive(file, str(path)).members
        return Entry(path, head=head, members=frozenset(members))


def _folder(path: Path) -> Entry:
    try:
        return Entry(path, names=frozenset(inside.name for inside in path.iterdir()))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be listed: {error.strerror}") from error
