"""A run that tests read, or change a copy of."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.pipeline.test_compute import Vectors, mlp_run


@pytest.fixture(scope="session")
def mlp_original(mlps: Path, vectors: Vectors, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on flat observations, which nobody changes."""
    return mlp_run(mlps, vectors, tmp_path_factory.mktemp("mlp") / "run", workers=1).path


@pytest.fixture
def mlp_copy(mlp_original: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(mlp_original, tmp_path / "run")
