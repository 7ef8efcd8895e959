"""The command that finished a run prints the same lines at once, without torch."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

#: The command as it is run, which then tells whether torch was loaded.
TELL = (
    "import atexit, sys\n"
    "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
    "from lrpdyn.cli.main import main\nmain()"
)


def ask(folder: Path, *options: str) -> tuple[str, str, bool]:
    """Return stdout, what was said, and whether torch was loaded."""
    command = [sys.executable, "-W", "error", "-c", TELL, "compute", "mlp", "obs.npy",
               "--arch-arg", "activation=tanh", "--baseline", "none", *options]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    *said, loaded = done.stderr.splitlines()
    assert done.returncode == 0, said
    return done.stdout, "\n".join(said), loaded == "True"


@pytest.mark.slow
def test_a_finished_run_answers_without_torch(
    mlp_folder: Path, vectors: NDArray[np.float32]
) -> None:
    folder = mlp_folder.parent
    np.save(folder / "obs.npy", vectors)
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - 1000,) * 2)
    _, first, loaded = ask(folder, "--workers", "1")
    assert loaded
    out, again, loaded = ask(folder, "--workers", "2")
    assert not loaded
    assert out == "lrpdyn-run\n"
    begin, *_ = again.splitlines()
    assert begin == "lrpdyn-run is finished: 5 steps; nothing to do"
    # What follows is the same, but for how long it took.
    assert again[again.index("Question: ") :] in first
    assert ask(folder, "-q") == ("lrpdyn-run\n", "", False)
    # What was trusted to run is told each time.
    assert ask(folder, "--trust")[2]
