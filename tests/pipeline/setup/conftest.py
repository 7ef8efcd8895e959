"""A job as `lrpdyn.compute` prepares it, before a step is explained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.pipeline.setup.prepare import listed, prepare


@pytest.fixture
def job_with(mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path) -> Callable[..., Job]:
    """Give a function from options to the job of the small MLP."""

    def made(**given: Any) -> Job:
        usual = {"out": tmp_path / "run", "arch_args": {"activation": "tanh"}, "quiet": True}
        options = Options(**{**usual, **given})
        return prepare(options, listed(mlp_folder, options), vectors)[0]

    return made
