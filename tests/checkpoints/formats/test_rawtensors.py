"""Tensors whose numbers lie as they are in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lrpdyn.checkpoints.formats.rawtensors import RawTensor, is_shape, read_all
from lrpdyn.errors import CheckpointError


def test_tensors_of_several_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, start in (("one", 0), ("two", 10)):
        (tmp_path / name).write_bytes(b"ab" + np.arange(start, start + 4, dtype="<i4").tobytes())
    tensors = {
        f"{name}.{half}": RawTensor(
            file=tmp_path / name, start=2 + 8 * half, shape=(1, 2), dtype=torch.int32
        )
        for half in (0, 1)
        for name in ("one", "two")
    }
    found = read_all(tensors)
    assert list(found) == ["one.0", "two.0", "one.1", "two.1"]
    assert found["two.1"].tolist() == [[12, 13]]
    beyond = RawTensor(file=tmp_path / "one", start=2, shape=(5,), dtype=torch.int32)
    with pytest.raises(CheckpointError, match=r"cut short: .*copy it again"):
        read_all({"w": beyond})


def test_what_can_be_a_shape() -> None:
    assert is_shape([])
    assert is_shape((3, 0, 2))
    for other in ([-1], [True], [1.0], [1 << 62], [1] * 65, "12", None):
        assert not is_shape(other)
