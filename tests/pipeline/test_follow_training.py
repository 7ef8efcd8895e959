"""A real training run is followed by the real command: all explained, none twice, none half-written."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE, STDOUT

import numpy as np
import pytest

import lrpdyn
from tests.faults.training import STEPS, frame
from tests.pipeline.test_follow import contents, explained

POLL = 0.6


@pytest.mark.slow
def test_beside_stable_baselines(tmp_path: Path) -> None:
    folder, out, observations = tmp_path / "ckpts", tmp_path / "run", tmp_path / "obs.npy"
    folder.mkdir()
    np.save(observations, np.stack([frame(column) for column in (2, 9, 16, 28)]))
    command = [sys.executable, "-m", "lrpdyn", "compute", str(folder), str(observations), "-o", str(out),
               "--follow", "--poll", str(POLL), "--until", str(STEPS[-1])]  # fmt: skip
    train = [sys.executable, "-m", "tests.faults.training", str(folder), str(POLL)]
    with (
        subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True) as it,
        subprocess.Popen(train, stdin=PIPE, stdout=PIPE, stderr=STDOUT, text=True) as training,
    ):
        while not (out / ".lock").exists():
            assert it.poll() is None
            time.sleep(0.02)
        assert not any(folder.iterdir())
        told, _ = training.communicate("begin\n", timeout=120)
        assert training.returncode == 0, told
        said, errors = it.communicate(timeout=60)
    assert (it.returncode, said.strip()) == (0, str(out)), errors
    # A line of the journal is a step that was explained: each once, in the order of training.
    assert explained(out) == STEPS
    assert "put aside" not in errors  # what is loaded half-written is told so, and tried again
    run = lrpdyn.open_run(out)
    assert [(c["step"], c["status"]) for c in run.manifest["checkpoints"]] == [
        (step, "done") for step in STEPS
    ]
    one = lrpdyn.compute(folder, observations, out=tmp_path / "one", until=STEPS[-1], quiet=True)
    assert contents(out) == contents(one.path)
