"""Outlines of what a pickle holds: objects that are described and not built."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: Bytes for each entry of a storage, by the name of its class or dtype.
ITEM_SIZES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2,
    "LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1,
    "BoolStorage": 1, "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16, "UntypedStorage": 1,
}  # fmt: skip


@dataclass(eq=False)
class Opaque:
    """An object that is not built: what was called, with what, and the state it was to have."""

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class StorageOutline:
    """Where a tensor's numbers are: the key of a storage, and its size in bytes."""

    key: str
    kind: str
    count: int
    size: int


@dataclass(frozen=True, eq=False)
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
        return math.prod(self.shape) * ITEM_SIZES.get(self.storage.kind, 1)


@dataclass(eq=False)
class ArrayOutline:
    """A NumPy array: `values` is a view of the pickle's bytes, None until they are known."""

    values: np.ndarray[Any, Any] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self.values is None else tuple(self.values.shape)
