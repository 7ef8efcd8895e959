"""Runs of real checkpoints, and their pages."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import lrpdyn


@pytest.fixture(scope="session")
def image_run(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> lrpdyn.Run:
    """Four steps of four samples by z-plus; the weights of step 32 are those of step 16."""
    folder = tmp_path_factory.mktemp("images")
    checkpoints = Path(shutil.copytree(ppo_folder, folder / "checkpoints"))
    (one,), (other,) = (checkpoints.glob(f"*_{step}_steps.zip") for step in (16, 32))
    with zipfile.ZipFile(one) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(other) as archive:
        content["policy.pth"] = archive.read("policy.pth")
    with zipfile.ZipFile(one, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return lrpdyn.compute(checkpoints, images, out=folder / "run", faithfulness="none", quiet=True)


@pytest.fixture(scope="session")
def flat_run(
    mlps: Path, vectors: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory
) -> lrpdyn.Run:
    """Five steps of five flat observations by epsilon, of both signs."""
    out = tmp_path_factory.mktemp("flat") / "run"
    return lrpdyn.compute(mlps, vectors, out=out, rule="epsilon", arch_args={"activation": "tanh"},
                          quiet=True)  # fmt: skip


@pytest.fixture
def copied(image_run: lrpdyn.Run, tmp_path: Path) -> Callable[[str], Path]:
    """Copy the run of images to a folder of another name, to be changed."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(image_run.path, tmp_path / name))

    return copy
