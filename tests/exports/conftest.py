"""Runs to be written in other formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import lrpdyn
from tests.options import UNCHECKED


@pytest.fixture(scope="session")
def image_run(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> lrpdyn.Run:
    """A run on (2, 4, 84, 84)."""
    out = tmp_path_factory.mktemp("images") / "run"
    return lrpdyn.compute(ppo_folder, images[:2], out=out, limit=3, **UNCHECKED)


@pytest.fixture
def flat_run(mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path) -> lrpdyn.Run:
    """A run on (5, 6)."""
    return lrpdyn.compute(
        mlp_folder, vectors, arch="mlp", arch_args={"activation": "tanh"}, out=tmp_path / "run",
        baseline="none", quiet=True,
    )  # fmt: skip
