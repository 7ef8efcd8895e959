"""One small reader for each format, chosen by what is in a file or folder, never by its name.

A reader says whether an entry is its own, what it tells without its weights, and what those are. To
add a format, write these functions and add the reader to `READERS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from lrpdyn.checkpoints import signatures
from lrpdyn.checkpoints.containers import (
    ZIP,
    chunks,
    open_archive,
    open_file,
    payload_of,
    sha256_of,
)
from lrpdyn.checkpoints.formats import (
    arrays,
    distributed,
    folders,
    safetensors,
    sb3,
    torchfile,
    torchlook,
    torchrl,
)
from lrpdyn.checkpoints.model import Choice, Header
from lrpdyn.errors import CheckpointError

#: File names that promise a checkpoint: one that cannot be read is bad, not merely left out.
SUFFIXES = (".zip", ".pt", ".pth", ".ckpt", ".tar", ".bin", ".safetensors", ".cleanrl_model")

_HEAD = 512


@dataclass(frozen=True)
class Entry:
    """A file's first bytes and the members of its archive, or the names in a folder."""

    path: Path
    head: bytes = b""
    members: frozenset[str] = field(default_factory=frozenset)
    names: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Reader:
    """A checkpoint format: how it is recognised, what its header tells, what its weights are.

    `files` are those that hold the weights; `digest` is the SHA-256 where that is not of
    them, and `both` gives weights and digest where one read serves both.
    """

    format: str
    recognise: Callable[[Entry], bool]
    header: Callable[[Path, Choice], Header]
    weights: Callable[[Path, Choice], Mapping[str, Tensor]]
    files: Callable[[Path], list[Path]] = lambda path: [path]
    digest: Callable[[Path], str] | None = None
    both: Callable[[Path, Choice], tuple[Mapping[str, Tensor], str]] | None = None


def find_reader(path: Path) -> Reader | None:
    """Return the reader for what is in `path`, or None for what is no checkpoint.

    Raises
    ------
    CheckpointError
        It cannot be opened, is cut short, or is known to be of another kind; the message says
        which, and what to do.
    """
    entry = _folder(path) if path.is_dir() else _file(path)
    reader = next((reader for reader in READERS if reader.recognise(entry)), None)
    if reader is None:
        kind = (
            signatures.what_folder(entry.names)
            or signatures.what_archive(entry.members)
            or (signatures.what_it_is(entry.head, path.name) if entry.head else None)
        )
        if kind is not None:
            raise CheckpointError(f"{path}: {kind}")
    return reader


def read_header(path: Path, format: str, *, trust: bool = False, weights: str = "model") -> Header:
    """Return what the entry at `path` tells without its weights."""
    return _reader(format).header(path, Choice(weights, trust))


def read_weights(
    path: Path, format: str, *, trust: bool = False, weights: str = "model"
) -> tuple[Mapping[str, Tensor], str]:
    """Return the weights by key, and the SHA-256 of the bytes that hold them.

    Raises
    ------
    CheckpointError
        The file is damaged, or wants to run code and is not trusted.
    """
    reader, choice = _reader(format), Choice(weights, trust)
    if reader.both is not None:
        return reader.both(path, choice)
    return reader.weights(path, choice), digest(path, format)


def read_weights_again(
    path: Path, format: str, *, trust: bool = False, weights: str = "model"
) -> Mapping[str, Tensor]:
    """Return the weights alone, of an entry whose SHA-256 is known; see `read_weights`."""
    return _reader(format).weights(path, Choice(weights, trust))


def digest(path: Path, format: str) -> str:
    """Return the SHA-256 of the bytes that hold the weights."""
    reader = _reader(format)
    if reader.digest is not None:
        return reader.digest(path)
    whole = hashlib.sha256()
    for file in reader.files(path):
        for chunk in chunks(file):
            whole.update(chunk)
    return whole.hexdigest()


def stamp(path: Path, format: str) -> tuple[int, int]:
    """Return the size in bytes of the files that hold the weights, and when they last changed (ns)."""
    found = [file.stat() for file in _reader(format).files(path)]
    return sum(status.st_size for status in found), max(status.st_mtime_ns for status in found)


def _reader(format: str) -> Reader:
    return next(reader for reader in READERS if reader.format == format)


def _file(path: Path) -> Entry:
    with open_file(path) as file:
        head = file.read(_HEAD)
        if not head:
            raise CheckpointError(
                f"{path}: is empty; copy it again, or go on without it (--skip-bad)"
            )
        if not head.startswith(ZIP):
            return Entry(path, head)
        members = open_archive(file, str(path)).members
        return Entry(path, head, members=frozenset(members))


def _folder(path: Path) -> Entry:
    try:
        return Entry(path, names=frozenset(inside.name for inside in path.iterdir()))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be listed: {error.strerror}") from error


def _is_torch(entry: Entry) -> bool:
    return entry.head.startswith(torchlook.LEGACY) or any(
        name.endswith("/data.pkl") for name in entry.members
    )


def _torch_header(path: Path, choice: Choice) -> Header:
    with open_file(path) as file:
        return torchfile.header_of(file, str(path), choice)


def _torch_weights(path: Path, choice: Choice) -> Mapping[str, Tensor]:
    return torchfile.weights_of(payload_of(path), str(path), choice)


def _torch_both(path: Path, choice: Choice) -> tuple[Mapping[str, Tensor], str]:
    payload = payload_of(path)
    weights = torchfile.weights_of(payload, str(path), choice)
    if payload.mapped is not None:
        return weights, sha256_of(path)  # piece by piece: what is mapped would stay in memory
    return weights, hashlib.sha256(payload.content).hexdigest()


def _folder_reader(format: str, find: Callable[[Path], folders.Inside | None]) -> Reader:
    def inside(path: Path) -> folders.Inside:
        found = find(path)
        if found is None:
            raise CheckpointError(f"{path}: its weights are gone; start again")
        return found

    return Reader(
        format,
        lambda entry: bool(entry.names) and find(entry.path) is not None,
        lambda path, choice: folders.header_of(path, inside(path), choice),
        lambda path, choice: folders.weights_of(path, inside(path), choice),
        lambda path: list(inside(path).files),
    )


READERS: tuple[Reader, ...] = (
    Reader(
        "sb3-zip",
        lambda entry: {sb3.POLICY, sb3.DATA} <= entry.members,
        sb3.header_of,
        sb3.weights_of,
        digest=sb3.digest_of,
        both=sb3.weights_and_digest_of,
    ),
    Reader("torch", _is_torch, _torch_header, _torch_weights, both=_torch_both),
    Reader(
        "safetensors",
        lambda entry: safetensors.recognises(entry.head),
        safetensors.header_of,
        safetensors.weights_of,
    ),
    Reader(
        "arrays",
        lambda entry: arrays.recognises(entry.head),
        arrays.header_of,
        arrays.weights_of,
    ),
    Reader(
        "sb3-folder",
        lambda entry: {sb3.POLICY, sb3.DATA} <= entry.names,
        sb3.folder_header_of,
        sb3.folder_weights_of,
        lambda path: [path / sb3.POLICY],
    ),
    Reader(
        "distributed",
        lambda entry: distributed.METADATA in entry.names,
        distributed.header_of,
        distributed.weights_of,
        distributed.files_of,
    ),
    Reader(
        "torchrl",
        lambda entry: torchrl.MANIFEST in entry.names and torchrl.recognises(entry.path),
        torchrl.header_of,
        torchrl.weights_of,
        torchrl.files_of,
    ),
    _folder_reader("huggingface", folders.hugging_face),
    _folder_reader("rllib", folders.rllib),
    _folder_reader("lerobot", folders.le_robot),
    _folder_reader("accelerate", folders.accelerate),
    _folder_reader("pfrl", folders.pfrl),
)
