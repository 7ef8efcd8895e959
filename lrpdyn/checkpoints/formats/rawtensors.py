"""Tensors whose numbers lie as they are in a file: where, and how they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor

from lrpdyn.checkpoints.containers import Part, check_shared, damaged, open_file

_MOST_DIMENSIONS = 64
#: Entries of a tensor; torch's own arithmetic on larger ones may overflow.
_LARGEST = 1 << 48


@dataclass(frozen=True, kw_only=True)
class RawTensor:
    """`shape` and `dtype` of a tensor whose bytes begin at `start` of `file`."""

    file: Path
    start: int
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return math.prod(self.shape) * self.dtype.itemsize


def is_shape(found: object) -> bool:
    """Tell whether `found` can be the shape of a tensor, which may be empty along some axes."""
    return are_counts(found) and math.prod(max(n, 1) for n in found) <= _LARGEST


def are_counts(found: object) -> TypeGuard[Sequence[int]]:
    """Tell whether `found` is a few numbers that can be sizes or places in a file."""
    return (
        isinstance(found, list | tuple)
        and len(found) <= _MOST_DIMENSIONS
        and all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 62 for n in found)
    )


def read_all(tensors: Mapping[str, RawTensor]) -> dict[str, Tensor]:
    """Read tensors, each file once from its start to its end.

    Raises
    ------
    CheckpointError
        A file is missing or ends too early.
    """
    found: dict[str, Tensor] = {}
    files = dict.fromkeys(tensor.file for tensor in tensors.values())
    for path in files:
        with open_file(path) as file:
            wanted = sum(tensor.size for tensor in tensors.values() if tensor.file == path)
            check_shared(wanted, file.size, str(path))
            for key, tensor in tensors.items():
                if tensor.file == path:
                    found[key] = _read(file, tensor, str(path))
    return {key: found[key] for key in tensors}


def _read(file: Part, tensor: RawTensor, where: str) -> Tensor:
    if tensor.start + tensor.size > file.size:
        raise damaged(f"{where}: is cut short: it ends within its weights")
    if tensor.size == 0:
        return torch.empty(tensor.shape, dtype=tensor.dtype)
    content = file.bytes_at(slice(tensor.start, tensor.start + tensor.size))
    return torch.frombuffer(content, dtype=tensor.dtype).reshape(tensor.shape)
