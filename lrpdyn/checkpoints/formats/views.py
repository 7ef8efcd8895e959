"""Weights as views of the bytes of their file: nothing is unpickled, and nothing copied."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lrpdyn.checkpoints.containers import Archive, Payload
from lrpdyn.checkpoints.formats.torch_contents import TorchContents
from lrpdyn.checkpoints.pickles.pickled import DTYPES, StorageOutline, TensorOutline

_LONGEST_WORD = 16
_LARGEST = 1 << 48


def views(
    entries: Mapping[str, Any], contents: TorchContents, payload: Payload
) -> dict[str, Tensor] | None:
    """Return the tensors of a state dict, with the values that ``torch.load`` gives them.

    Parameters
    ----------
    entries
        The outline of the state dict.
    contents, payload
        The file that it is in, and its bytes, which the tensors keep alive and share.

    Returns
    -------
    dict or None
        None where one of them takes more than its outline and its bytes, or does not fit them.
    """
    if contents.archive is None or not _little_endian(contents, contents.archive):
        return None
    keys = [storage.key for storage in contents.found.storages]
    if len(set(keys)) < len(keys):
        return None  # one storage of two sizes
    storages: dict[str, Tensor] = {}
    found: dict[str, Tensor] = {}
    for name, tensor in entries.items():
        if not isinstance(tensor, TensorOutline):
            continue
        if tensor.special or not _fits(tensor):
            return None
        key = tensor.storage.key
        if key not in storages:
            content = payload.bytes_at(contents.archive.place(contents.members[key]))
            storage = _storage(tensor.storage, content)
            if storage is None:
                return None
            storages[key] = storage
        found[name] = storages[key].as_strided(tensor.shape, tensor.stride, tensor.offset)
    return found


def _little_endian(contents: TorchContents, archive: Archive) -> bool:
    """Tell whether file and machine are; files of torch before 2.1 do not say, and are."""
    name = f"{contents.prefix}byteorder"
    return sys.byteorder == "little" and (
        name not in archive or archive.read(name, _LONGEST_WORD) == b"little"
    )


def _fits(tensor: TensorOutline) -> bool:
    """Tell whether the last entry of a tensor lies within its storage."""
    entries = math.prod(max(size, 1) for size in tensor.shape)
    if max(entries, tensor.offset, *tensor.stride) > _LARGEST:
        return False  # torch's own arithmetic may overflow
    if 0 in tensor.shape:
        return tensor.offset <= tensor.storage.count
    steps = zip(tensor.shape, tensor.stride, strict=True)
    last = tensor.offset + sum((size - 1) * stride for size, stride in steps)
    return last < tensor.storage.count


def _storage(storage: StorageOutline, content: memoryview) -> Tensor | None:
    """Return the entries of a storage; None where their type is unknown or they are not aligned."""
    dtype = DTYPES.get(storage.kind)
    if dtype is None:
        return None
    if storage.count == 0:
        return torch.empty(0, dtype=dtype)
    found = torch.frombuffer(content, dtype=dtype, count=storage.count)
    return None if found.data_ptr() % dtype.itemsize else found
