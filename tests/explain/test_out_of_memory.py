"""Too little memory for a batch: it is halved, said, and recorded; for a single sample: one line.

The memory is that of the CPU, which the kernel refuses beyond a limit; torch tells of other devices in the
same way.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import lrpdyn

#: Runs a command line in a process that may take so much more memory than its imports do.
LIMITED = """
import resource, sys
more = int(sys.argv.pop(1))
import lrpdyn.pipeline.compute, lrpdyn.cli.compute, lrpdyn.figures.drawings.heatmap
from lrpdyn.pipeline import blocks
from lrpdyn.pipeline.setup import requirements
from lrpdyn.cli.main import main

begin = blocks.BlockWorker.__init__

def limited(self, *arguments):
    begin(self, *arguments)
    pages = int(open("/proc/self/statm").read().split()[0])
    size = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))

gather = blocks.BlockWorker.__call__

def unlimited(self, *arguments):
    try:
        return gather(self, *arguments)
    finally:  # what follows is not what is looked at
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

blocks.BlockWorker.__init__, blocks.BlockWorker.__call__ = limited, unlimited
main()
"""
WIDE = 16_384


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Two checkpoints of a network whose hidden layer takes 64 KiB for each sample, and samples."""
    torch.manual_seed(0)
    for step in (1, 2):
        network = torch.nn.Sequential(
            torch.nn.Linear(4, WIDE), torch.nn.ReLU(), torch.nn.Linear(WIDE, 2)
        )
        (tmp_path / "ckpts").mkdir(exist_ok=True)
        torch.save(network.state_dict(), tmp_path / "ckpts" / f"net_{step}.pt")
    np.save(tmp_path / "obs.npy", np.random.default_rng(0).normal(size=(2048, 4)).astype("f4"))
    return tmp_path


def computed(wide: Path, more_bytes: int) -> subprocess.CompletedProcess[str]:
    command = ["compute", "ckpts", "obs.npy", "--arch-arg", "activation=relu", "--workers", "1",
               "--batch-size", "2048", "--baseline", "none"]  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(more_bytes), *command],
        cwd=wide, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits memory as Linux does")
def test_batches_are_halved_where_memory_runs_out(wide: Path) -> None:
    done = computed(wide, 300 << 20)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((wide / "lrpdyn-run" / "manifest.json").read_text())
    assert manifest["batch_size"] == 2048
    sizes = [one["batch_size"] for one in manifest["smaller_batches"]]
    assert [one["step"] for one in manifest["smaller_batches"]] == [1, 2]
    assert all(size < 2048 and 2048 % size == 0 for size in sizes)
    said = " ".join(done.stderr.split())
    assert "Memory ran out at step 1: " in said
    assert f"of down to {min(sizes):,} observations, not 2,048, from there on" in said
    whole = lrpdyn.compute(
        wide / "ckpts", wide / "obs.npy", out=wide / "whole", arch_args={"activation": "relu"},
        batch_size=2048, baseline="none", quiet=True,
    )  # fmt: skip
    assert "smaller_batches" not in whole.manifest
    found = lrpdyn.open_run(wide / "lrpdyn-run")
    for step in (1, 2):
        np.testing.assert_allclose(
            found.relevance[step], whole.relevance[step], rtol=1e-4, atol=1e-6
        )


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits memory as Linux does")
def test_too_little_for_one_sample_is_one_line(wide: Path) -> None:
    done = computed(wide, 0)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert "memory" in last
    assert "--workers 1" in last
