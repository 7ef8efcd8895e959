"""Runs to be written in other formats."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import lrpdyn
from tests.small_runs import UNCHECKED


@pytest.fixture(scope="session")
def image_run(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> lrpdyn.Run:
    """A run on (2, 4, 84, 84)."""
    out = tmp_path_factory.mktemp("images") / "run"
    return lrpdyn.compute(ppo_folder, images[:2], out=out, limit=3, **UNCHECKED)


@pytest.fixture(scope="session")
def flat_original(
    mlps: Path, vectors: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory
) -> lrpdyn.Run:
    """A run on (5, 6), which nobody changes."""
    return lrpdyn.compute(
        mlps, vectors, arch="mlp", arch_args={"activation": "tanh"},
        out=tmp_path_factory.mktemp("flat") / "run", baseline="none", quiet=True,
    )  # fmt: skip


@pytest.fixture
def flat_run(flat_original: lrpdyn.Run, tmp_path: Path) -> lrpdyn.Run:
    """A copy of it."""
    return lrpdyn.open_run(shutil.copytree(flat_original.path, tmp_path / "run"))
