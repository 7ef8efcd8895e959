"""The contents of a file of torch.save, read without unpickling it, and checks of them."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache

from zlib_ng.zlib_ng import crc32

from lrpdyn.checkpoints.containers import (
    ZIP,
    Archive,
    Part,
    Payload,
    check_shared,
    damaged,
    open_archive,
)
from lrpdyn.checkpoints.pickles.outline import DamagedPickleError, Outline, outline
from lrpdyn.checkpoints.pickles.pickled import TensorOutline
from lrpdyn.errors import CheckpointError
from lrpdyn.files.text import first_line

#: How torch.save began before version 1.6, and begins with _use_new_zipfile_serialization=False.
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

_LARGEST_PICKLE = 1 << 28


@dataclass(frozen=True)
class TorchContents:
    """What a file holds: the outline of its object, and the members of its storages by key.

    There are no members in legacy files, which keep no checksums either. `prefix` is what the names
    of all members begin with.
    """

    found: Outline
    _: KW_ONLY
    archive: Archive | None = None
    members: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""

    def checksum(self, key: str) -> int:
        """Return a storage's CRC-32; 0 where torch did not compute it."""
        return 0 if self.archive is None else self.archive.members[self.members[key]].CRC


def contents_of(file: Part, where: str) -> TorchContents:
    """Return what a file holds.

    Raises
    ------
    CheckpointError
        It is no file of torch.save, or one that was damaged or cut short.
    """
    file.seek(0)
    try:
        if file.read(4) == ZIP:
            return _contents_of_zip(open_archive(file, where), where)
        return _contents_of_legacy(file, where)
    except DamagedPickleError as error:
        raise damaged(
            f"{where}: cannot be read, damaged or cut short (its pickle: {first_line(error)})"
        ) from error


def _contents_of_zip(archive: Archive, where: str) -> TorchContents:
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
    _check_sum(crc32(payload), archive.members[pickled].CRC, pickled, where)
    found = _followed(payload)
    members: dict[str, str] = {}
    for storage in found.storages:
        name = f"{prefix}data/{storage.key}"
        info = archive.members.get(name)
        if info is None or info.file_size < storage.size:
            raise damaged(f"{where}: is damaged: storage {storage.key} is missing or too short")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise CheckpointError(
                f"{where}: is a torch file that something else has compressed; save it again with "
                "torch.save"
            )
        if info.header_offset + info.file_size > archive.file.size:
            raise CheckpointError(f"{where}: is damaged: member {name} reaches beyond its end")
        members[storage.key] = name
    return TorchContents(found, archive=archive, members=members, prefix=prefix)


@lru_cache(maxsize=4)
def _followed(payload: bytes) -> Outline:
    """Follow a pickle once: those of a whole series are often the same bytes."""
    return outline(io.BytesIO(payload))


def _contents_of_legacy(file: Part, where: str) -> TorchContents:
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
            raise damaged(f"{where}: is cut short: it ends within its weights")
    return TorchContents(found)


def check_sizes(tensors: Mapping[str, TensorOutline], where: str) -> None:
    """Raise CheckpointError where tensors claim to be larger than what is stored."""
    storages = {tensor.storage.key: tensor.storage.size for tensor in tensors.values()}
    for key, tensor in tensors.items():
        if tensor.size > tensor.storage.size:
            raise CheckpointError(
                f"{where}: is damaged: {key} has shape {tensor.shape}, but its storage only "
                f"{tensor.storage.size:,} bytes"
            )
    check_shared(sum(tensor.size for tensor in tensors.values()), sum(storages.values()), where)


def fingerprint(tensors: Mapping[str, TensorOutline], contents: TorchContents) -> str | None:
    """Return a text that is equal for equal weights, from the checksums in the directory."""
    parts = [
        (key, tensor.shape, tensor.offset, contents.checksum(tensor.storage.key))
        for key, tensor in tensors.items()
    ]
    if any(checksum == 0 for *_, checksum in parts):
        return None
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


def check_weights(
    tensors: Mapping[str, TensorOutline], contents: TorchContents, payload: Payload, where: str
) -> None:
    """Compare the weights' bytes with their checksums, which torch does not do."""
    if contents.archive is None:
        return
    for key in dict.fromkeys(tensor.storage.key for tensor in tensors.values()):
        name = contents.members[key]
        found = crc32(payload.bytes_at(contents.archive.place(name)))
        _check_sum(found, contents.checksum(key), name, where)


def _check_sum(found: int, stated: int, name: str, where: str) -> None:
    if stated not in (0, found):
        raise damaged(f"{where}: is damaged: the checksum of {name} does not fit")
