"""A folder of a user, shared by the tests of commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.cli.processes import lrpdyn


@pytest.fixture(scope="session")
def folder(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder in which the three commands of the README were run, with nothing else said."""
    folder = tmp_path_factory.mktemp("user")
    np.save(folder / "obs.npy", images)
    result = lrpdyn("compute", ppo_folder, "obs.npy", "--rule", "zplus", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "lrpdyn-run\n"
    assert result.stderr.startswith("Explained ")
    assert "\nQuestion: action preferred at each step, minus the mean" in result.stderr
    assert "\n\nCan you trust the maps?\n" in result.stderr
    assert "empty, no score negative." in " ".join(result.stderr.split())
    return folder
