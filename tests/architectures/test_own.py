"""A network of the user's own, from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from lrpdyn.architectures.registry import resolve
from lrpdyn.checkpoints.model import Header
from lrpdyn.errors import ArchitectureError, UsageError


def test_own_architecture_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import torch\ndef make(width):\n    return torch.nn.Linear(3, width)\n")
    header = Header({"weight": (2, 3), "bias": (2,)})
    assert isinstance(resolve(f"{path}:make", {"width": 2}, header, "here").build(), nn.Linear)
    with pytest.raises(ArchitectureError, match=r"weight expected \(4, 3\), found \(2, 3\)"):
        resolve(f"{path}:make", {"width": 4}, header, "here")
    with pytest.raises(ArchitectureError, match="--arch-arg"):
        resolve(f"{path}:make", {}, header, "here")
    with pytest.raises(UsageError, match="nothing to call named 'other'"):
        resolve(f"{path}:other", {}, header, "here")
    with pytest.raises(UsageError, match="no architecture is called"):
        resolve("unheard-of", {}, header, "here")
