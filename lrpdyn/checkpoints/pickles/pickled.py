"""Outlines of what a pickle holds: objects that are described and not built."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np
import torch

#: The types of storages, by the name that torch gives their class.
DTYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool, "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}  # fmt: skip


def item_size(kind: str) -> int:
    """Return the bytes of each entry of a storage; 1 where its type is not known.

    Examples
    --------
    >>> item_size("FloatStorage"), item_size("UntypedStorage")
    (4, 1)
    """
    dtype = DTYPES.get(kind)
    return 1 if dtype is None else dtype.itemsize


@dataclass(eq=False, repr=False, slots=True)
class Opaque:
    """An object that is not built: what was called, with what, and the state it was to have."""

    name: str
    args: tuple[Any, ...] = ()
    _: KW_ONLY
    state: Any = None
    items: list[Any] = field(default_factory=list)

    def __repr__(self) -> str:
        """Return the name alone: what it was made from may be too large to print."""
        return f"<{self.name}>"


@dataclass(frozen=True, eq=False, kw_only=True)
class StorageOutline:
    """Where a tensor's numbers are: the key of a storage, and its size in bytes."""

    key: str
    kind: str
    count: int
    size: int


@dataclass(frozen=True, eq=False, kw_only=True)
class TensorOutline:
    """A tensor without its numbers; `special` says that it is more than a view of its storage."""

    shape: tuple[int, ...]
    storage: StorageOutline
    offset: int
    stride: tuple[int, ...]
    special: bool = False

    @property
    def size(self) -> int:
        """Bytes that its entries take."""
        return math.prod(self.shape) * item_size(self.storage.kind)


@dataclass(eq=False)
class ArrayOutline:
    """A NumPy array: `values` is a view of the pickle's bytes, None until they are known."""

    values: np.ndarray[Any, Any] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self.values is None else tuple(self.values.shape)
