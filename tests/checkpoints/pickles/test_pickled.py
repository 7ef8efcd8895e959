"""Outlines of tensors and arrays beside the real ones."""

from __future__ import annotations

import io
import pickletools
import zipfile

import numpy as np
import pytest
import torch

from lrpdyn.checkpoints.pickles.pickled import (
    DTYPES,
    ArrayOutline,
    Opaque,
    StorageOutline,
    TensorOutline,
    item_size,
)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_a_storage_has_the_type_that_torch_writes_under_its_name(dtype: torch.dtype) -> None:
    file, real = io.BytesIO(), torch.zeros(2, dtype=dtype)
    torch.save(real, file)
    with zipfile.ZipFile(file) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        words = {word for _, word, _ in pickletools.genops(archive.read(name))}
    (kind,) = (word.split()[1] for word in words if str(word).endswith("Storage"))
    assert DTYPES[kind] == dtype
    assert item_size(kind) == real.element_size()


def test_an_unknown_storage_is_counted_in_bytes() -> None:
    assert item_size("UntypedStorage") == torch.UntypedStorage(1).element_size()


@pytest.mark.parametrize("shape", [(3, 4), (5,), (), (0, 7)])
def test_a_tensor_takes_the_bytes_of_its_entries_not_of_its_storage(shape: tuple[int, ...]) -> None:
    real = torch.zeros(shape, dtype=torch.float64)
    storage = StorageOutline(key="0", kind="DoubleStorage", count=1000, size=8000)
    outline = TensorOutline(shape=shape, storage=storage, offset=0, stride=real.stride())
    assert outline.size == real.element_size() * real.numel()


def test_an_array_has_no_shape_until_its_values_are_known() -> None:
    outline = ArrayOutline()
    assert outline.shape == ()
    outline.values = np.zeros((2, 3))
    assert outline.shape == (2, 3)


def test_objects_that_are_not_built_share_nothing_and_are_told_apart() -> None:
    one, other = Opaque("a.B", (1,)), Opaque("a.B", (1,))
    one.items.append(2)
    assert other.items == []
    assert one != other
