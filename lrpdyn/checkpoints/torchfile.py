"""Files of torch.save, zip or legacy: looked at without being unpickled, read as weights only."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.checkpoints.containers import (
    ZIP,
    Archive,
    Part,
    first_line,
    open_archive,
    open_file,
)
from lrpdyn.checkpoints.globals import dangerous, stand_ins
from lrpdyn.checkpoints.model import Choice, Header
from lrpdyn.checkpoints.outline import (
    DamagedPickleError,
    Opaque,
    Outline,
    TensorOutline,
    outline,
)
from lrpdyn.checkpoints.payload import epoch_of, follow, locate, step_of
from lrpdyn.errors import CheckpointError

#: How torch.save began before version 1.6, and begins with _use_new_zipfile_serialization=False.
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

_LARGEST_PICKLE = 1 << 28
_CHUNK = 1 << 20
_MODULE_PARTS = ("_parameters", "_buffers", "_modules")
#: Tensors may share a storage (tied weights), but not make much of nothing.
_MOST_SHARED = 8
_BLOCKED = re.compile(r"GLOBAL (\S+)")


@dataclass(frozen=True)
class _Look:
    """What a file holds: the outline of its object, and the members of its storages by key.

    There are no members in legacy files, which keep no checksums either.
    """

    found: Outline
    archive: Archive | None = None
    members: Mapping[str, str] = field(default_factory=dict)

    def checksum(self, key: str) -> int:
        """Return a storage's CRC-32; 0 where torch was told not to compute it."""
        return 0 if self.archive is None else self.archive.members[self.members[key]].CRC


def state_of(file: Part, where: str, choice: Choice) -> Any:
    """Return the outline of the object that a file of torch.save holds.

    Raises
    ------
    CheckpointError
        It is damaged, or could run code and is not trusted.
    """
    return _state(_look(file, where), choice, where)


def header_of(file: Part, where: str, choice: Choice) -> Header:
    """Return what a file of torch.save tells; its weights are not read.

    Raises
    ------
    CheckpointError
        It is damaged, holds no weights, or could run code and is not trusted.
    """
    look = _look(file, where)
    root = _state(look, choice, where)
    path, weights = locate(root, choice.weights, where)
    tensors = {key: value for key, value in weights.items() if isinstance(value, TensorOutline)}
    _check_sizes(tensors, where)
    return Header(
        shapes={key: value.shape for key, value in tensors.items()},
        step=step_of(root),
        epoch=epoch_of(root),
        weights=path,
        fingerprint=_fingerprint(tensors, look),
        executes=dangerous(look.found.names),
    )


def weights_of(
    source: Path | bytes, where: str, header: Header, *, trust: bool
) -> Mapping[str, Tensor]:
    """Read the weights that `header` tells of, with torch's restricted unpickler.

    A `source` that is a path is mapped: of what it holds, only the weights are read.

    Raises
    ------
    CheckpointError
        It is damaged, or wants to run code and is not trusted.
    """
    with _opened(source) as file:
        look = _look(file, where)
        # Looked at again, and the checksums compared: the file may have changed since.
        names = dangerous(look.found.names)
        if names and not trust:
            raise _refused(names, where)
        # What is mapped is not checked by torch; what is in memory is.
        if not names and isinstance(source, Path):
            _check_weights(_chosen(look.found.root, header.weights, where), look, where)
    # What names nothing dangerous is never run, trusted or not.
    loaded = _load(source, look.found, where, trust=bool(names))
    chosen = _state_of(follow(_state_of(loaded), header.weights))
    return {key: value for key, value in chosen.items() if isinstance(value, Tensor)}


def _state_of(loaded: Any) -> Any:
    return loaded.state_dict() if isinstance(loaded, nn.Module) else loaded


def _chosen(root: Any, path: str, where: str) -> dict[str, TensorOutline]:
    try:
        items = follow(root, path).items()
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{where}: has changed since it was listed; start again") from error
    return {key: value for key, value in items if isinstance(value, TensorOutline)}


def load_tensor(payload: bytes, where: str) -> Tensor:
    """Read one tensor that torch.save wrote.

    Raises
    ------
    CheckpointError
        It is damaged, or no tensor.
    """
    with _opened(payload) as file:
        look = _look(file, where)
    if not isinstance(look.found.root, TensorOutline):
        raise CheckpointError(f"{where}: expected a tensor, found something else")
    _check_sizes({"it": look.found.root}, where)
    loaded = _load(payload, look.found, where, trust=False)
    if not isinstance(loaded, Tensor):
        raise CheckpointError(f"{where}: expected a tensor, found a {type(loaded).__name__}")
    return loaded


def plain_value(payload: bytes) -> Any:
    """Return the number or text that torch.save wrote, or None if it is anything else."""
    try:
        with _opened(payload) as file:
            root = _look(file, "").found.root
    except CheckpointError:
        return None
    return root if isinstance(root, int | float | str) else None


def _load(source: Path | bytes, found: Outline, where: str, *, trust: bool) -> Any:
    is_zip = _begins_with_zip(source)
    given: Any = io.BytesIO(source) if isinstance(source, bytes) else str(source)
    options: dict[str, Any] = {"mmap": True} if is_zip and isinstance(source, Path) else {}
    try:
        with (
            torch.serialization.safe_globals(stand_ins(found.names)),
            warnings.catch_warnings(),
        ):
            # Legacy files make torch warn of its own deprecated storages.
            warnings.simplefilter("ignore")
            return torch.load(given, map_location="cpu", weights_only=not trust, **options)
    except Exception as error:  # whatever a damaged file makes torch raise
        blocked = _BLOCKED.search(str(error))
        if blocked and not trust:
            raise _refused((blocked[1],), where) from error
        if "Unsupported operand" in str(error):
            raise CheckpointError(
                f"{where}: was saved with another pickle_protocol than torch's own, 2, which its "
                "restricted reader does not know; save it again without that option"
            ) from error
        raise CheckpointError(
            f"{where}: cannot be read, damaged or cut short ({first_line(error)}); copy it again, or "
            "go on without it (--skip-bad)"
        ) from error


@contextlib.contextmanager
def _opened(source: Path | bytes) -> Iterator[Part]:
    if isinstance(source, bytes):
        yield Part(io.BytesIO(source), 0, len(source))
        return
    with open_file(source) as file:
        yield file


def _begins_with_zip(source: Path | bytes) -> bool:
    if isinstance(source, bytes):
        return source.startswith(ZIP)
    with source.open("rb") as file:
        return file.read(4) == ZIP


def _look(file: Part, where: str) -> _Look:
    file.seek(0)
    try:
        if file.read(4) == ZIP:
            return _look_into_zip(open_archive(file, where), where)
        return _look_into_legacy(file, where)
    except DamagedPickleError as error:
        raise CheckpointError(
            f"{where}: cannot be read, damaged or cut short (its pickle: {first_line(error)}); copy it "
            "again, or go on without it (--skip-bad)"
        ) from error


def _look_into_zip(archive: Archive, where: str) -> _Look:
    pickled = next((name for name in archive.members if name.endswith("/data.pkl")), None)
    if pickled is None:
        raise CheckpointError(f"{where}: is a zip without the pickle that torch.save writes")
    prefix = pickled.removesuffix("data.pkl")
    if f"{prefix}constants.pkl" in archive:
        raise CheckpointError(
            f"{where}: is TorchScript, compiled code; save the module's state_dict with torch.save, or "
            "leave the file out with --pattern"
        )
    payload = archive.read(pickled, _LARGEST_PICKLE)
    _check_sum(zlib.crc32(payload), archive.members[pickled].CRC, pickled, where)
    found = _followed(payload)
    members: dict[str, str] = {}
    for storage in found.storages:
        name = f"{prefix}data/{storage.key}"
        info = archive.members.get(name)
        if info is None or info.file_size < storage.size:
            raise CheckpointError(
                f"{where}: is damaged: storage {storage.key} is missing or too short; copy it again, or "
                "go on without it (--skip-bad)"
            )
        if info.compress_size != info.file_size:
            raise CheckpointError(
                f"{where}: is a torch file that something else has compressed; save it again with "
                "torch.save"
            )
        if info.header_offset + info.file_size > archive.file.size:
            raise CheckpointError(f"{where}: is damaged: member {name} reaches beyond its end")
        members[storage.key] = name
    return _Look(found, archive, members)


@lru_cache(maxsize=4)
def _followed(payload: bytes) -> Outline:
    """Follow a pickle once: those of a whole series are often the same bytes."""
    return outline(io.BytesIO(payload))


def _look_into_legacy(file: Part, where: str) -> _Look:
    """Follow magic number, protocol, system, object and keys; the storages lie behind them."""
    file.seek(0)
    for _ in range(3):
        outline(file)
    found = outline(file)
    keys = outline(file).root
    sizes = {storage.key: storage.size for storage in found.storages}
    counts = {storage.key: storage.count for storage in found.storages}
    if not isinstance(keys, list) or set(map(str, keys)) != set(sizes):
        raise DamagedPickleError("its storages are not those of its tensors")
    at = file.tell()
    for key in map(str, keys):
        file.seek(at)
        stated = file.read(8)
        at += 8 + sizes[key]
        if len(stated) < 8 or at > file.size or struct.unpack("<q", stated)[0] != counts[key]:
            raise CheckpointError(
                f"{where}: is cut short: it ends within its weights; copy it again, or go on without it "
                "(--skip-bad)"
            )
    return _Look(found)


def _state(look: _Look, choice: Choice, where: str) -> Any:
    root = _as_state(look.found.root, choice.trust, where)
    names = dangerous(look.found.names)
    if names and not choice.trust:
        raise _refused(names, where)
    return root


def _as_state(root: Any, trust: bool, where: str) -> Any:
    """Return `root`, or the state dict of a whole pickled module where its maker is trusted."""
    if isinstance(root, dict) and trust:
        return {
            key: dict(_module_state(value, "")) if _is_module(value) else value
            for key, value in root.items()
        }
    if not _is_module(root):
        return root
    if not trust:
        raise CheckpointError(
            f"{where}: is a whole pickled module ({root.name}), whose loading runs code; save its "
            "state_dict instead, or give --trust if you trust whoever made this file"
        )
    return dict(_module_state(root, ""))


def _is_module(found: Any) -> bool:
    return (
        isinstance(found, Opaque)
        and isinstance(found.state, dict)
        and all(isinstance(found.state.get(part), dict) for part in _MODULE_PARTS)
    )


def _module_state(module: Opaque, prefix: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > 64:
        return
    parameters, buffers, modules = (module.state[part] for part in _MODULE_PARTS)
    for name, value in [*parameters.items(), *buffers.items()]:
        if isinstance(value, TensorOutline):
            yield f"{prefix}{name}", value
    for name, inner in modules.items():
        if _is_module(inner):
            yield from _module_state(inner, f"{prefix}{name}.", depth + 1)


def _check_sizes(tensors: Mapping[str, TensorOutline], where: str) -> None:
    storages = {tensor.storage.key: tensor.storage.size for tensor in tensors.values()}
    for key, tensor in tensors.items():
        if tensor.size > tensor.storage.size:
            raise CheckpointError(
                f"{where}: is damaged: {key} has shape {tensor.shape}, but its storage only "
                f"{tensor.storage.size:,} bytes"
            )
    if (
        sum(tensor.size for tensor in tensors.values())
        > _MOST_SHARED * sum(storages.values()) + 1024
    ):
        raise CheckpointError(f"{where}: its tensors share a storage too many times; refused")


def _fingerprint(tensors: Mapping[str, TensorOutline], look: _Look) -> str | None:
    """Return what is equal for equal weights; nothing is read but the directory's checksums."""
    parts = [
        (key, tensor.shape, tensor.offset, look.checksum(tensor.storage.key))
        for key, tensor in tensors.items()
    ]
    if any(checksum == 0 for *_, checksum in parts):
        return None
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _check_weights(tensors: Mapping[str, TensorOutline], look: _Look, where: str) -> None:
    """Compare the weights' bytes with their checksums."""
    if look.archive is None:
        return
    for key in dict.fromkeys(tensor.storage.key for tensor in tensors.values()):
        name = look.members[key]
        part = look.archive.part(name)
        found = 0
        for chunk in iter(lambda part=part: part.read(_CHUNK), b""):  # type: ignore[misc]
            found = zlib.crc32(chunk, found)
        _check_sum(found, look.checksum(key), name, where)


def _check_sum(found: int, stated: int, name: str, where: str) -> None:
    if stated not in (0, found):
        raise CheckpointError(
            f"{where}: is damaged: the checksum of {name} does not fit; copy it again, or go on without "
            "it (--skip-bad)"
        )


def _refused(names: tuple[str, ...], where: str) -> CheckpointError:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return CheckpointError(
        f"{where}: refused: it is a pickle that wants to use {', '.join(names[:5])}{more}, which can run "
        "code; save the state_dict alone, or give --trust if you trust whoever made this file"
    )
