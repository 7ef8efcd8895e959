"""The same bytes from a real Dask cluster of processes, whatever becomes of them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.errors import RunError, UsageError
from lrpdyn.pipeline.dask_cluster import connected

pytest.importorskip("distributed")
#: Noises of the Dask client: nothing of them is ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:(distributed|dask|tornado).*")
TANH = {"activation": "tanh"}


def contents(run: Path) -> dict[str, bytes]:
    files = (path for path in sorted(run.rglob("*")) if path.is_file())
    skipped = ("manifest.json",)
    return {str(p.relative_to(run)): p.read_bytes() for p in files if p.name not in skipped}


@pytest.fixture
def cluster() -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers, each a process, as they are started by hand."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    port = address.rpartition(":")[2]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    python = [sys.executable, "-m"]
    local = ["--host", "127.0.0.1", "--no-dashboard"]
    scheduler = [*python, "distributed.cli.dask_scheduler", "--port", port, *local]
    worker = [
        *python,
        "distributed.cli.dask_worker",
        address,
        "--nthreads",
        "1",
        "--no-nanny",
        *local,
    ]
    processes = [subprocess.Popen(scheduler, **quiet)]
    processes += [subprocess.Popen(worker, **quiet) for _ in range(2)]
    try:
        yield address, processes[1:]
    finally:
        for process in processes[::-1]:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_one_worker_killed_in_the_middle(
    tmp_path: Path,
    vectors: NDArray[np.float32],
    cluster: tuple[str, list[subprocess.Popen[bytes]]],
) -> None:
    address, workers = cluster
    folder, out = tmp_path / "series", tmp_path / "run"
    folder.mkdir()
    torch.manual_seed(0)
    for step in range(240):
        layers = torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)
        torch.save(torch.nn.Sequential(*layers).state_dict(), folder / f"net_{step}.pt")
    torch.save(torch.nn.Linear(6, 3).state_dict(), folder / "net_77.pt")
    options: dict[str, Any] = {"arch_args": TANH, "quiet": True, "skip_bad": True}
    np.save(tmp_path / "obs.npy", vectors)
    one = lrpdyn.compute(folder, tmp_path / "obs.npy", out=tmp_path / "one", **options)
    killed: list[int] = []

    def kill() -> None:
        while len(list((out / "relevance").glob("step_*.npy"))) < 40:
            time.sleep(0.005)
        os.kill(workers[0].pid, signal.SIGKILL)
        killed.append(len(list((out / "relevance").glob("step_*.npy"))))

    killer = threading.Thread(target=kill)
    killer.start()
    run = lrpdyn.compute(folder, tmp_path / "obs.npy", out=out, dask=address, **options)
    killer.join()
    assert workers[0].wait() == -signal.SIGKILL
    assert workers[1].poll() is None
    assert 40 <= killed[0] < 239
    assert contents(run.path) == contents(one.path)


@pytest.mark.slow
def test_a_cluster_of_its_own_on_a_rule_and_regions(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    regions = tmp_path / "regions.npz"
    np.savez(regions, top=np.indices((84, 84))[0] < 20)
    options: dict[str, Any] = {"rule": "epsilon-gamma-box:0,1", "target": "final", "quiet": True,
                               "regions": regions, "keep": "pixels"}  # fmt: skip
    one = lrpdyn.compute(ppo_folder, images, out=tmp_path / "one", **options)
    run = lrpdyn.compute(ppo_folder, images, out=tmp_path / "run", dask="local:1", **options)
    assert contents(run.path) == contents(one.path)


def test_a_local_cluster_is_for_this_process_alone() -> None:
    from distributed.comm import connect

    with connected("local:1") as client:
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        (worker,) = client.nthreads()
        for open_port in (address, worker):
            plain = open_port.replace("tls://", "tcp://")
            for stranger in (open_port, plain):
                with pytest.raises((OSError, TypeError, ValueError)):
                    # Not a Client: one that fails is closed whenever it is collected, and may wait then.
                    asyncio.run(connect(stranger, timeout=2))
        assert client.submit(sum, [1, 2]).result() == 3
        # Pages of the scheduler, at a port of their own, show what is computed.
        port = client.cluster.scheduler.http_server.port
        for page in ("info/main/workers.html", "json/counts.json"):
            with pytest.raises(HTTPError, match="404"):
                urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5)


def test_what_is_no_cluster(
    mlp_folder: Path,
    vectors: NDArray[np.float32],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lrpdyn.pipeline.dask_cluster._ANSWER", 1)
    options: dict[str, Any] = {"arch_args": TANH, "quiet": True, "out": tmp_path / "run"}
    with pytest.raises(UsageError, match="expected local:N with N from 1 on"):
        lrpdyn.compute(mlp_folder, vectors, dask="local:0", **options)
    with pytest.raises(
        RunError, match=r"tcp://127\.0\.0\.1:1: no cluster with a worker answers there"
    ):
        lrpdyn.compute(mlp_folder, vectors, dask="tcp://127.0.0.1:1", **options)
