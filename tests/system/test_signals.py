"""A run that gets a signal finishes the step in hand, keeps it, and resumes to the same bytes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrpdyn.errors import RunError
from lrpdyn.pipeline import blocks
from lrpdyn.run.journal import read_journal
from lrpdyn.system import signals
from lrpdyn.system.processes import in_order
from lrpdyn.system.signals import Stopped, deferred, received, wait
from tests.cli.processes import has_ended
from tests.pipeline.test_compute import Vectors, contents, mlp_run


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [1, 2])
def test_the_step_in_hand_is_kept(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str], sent: signal.Signals, workers: int,
) -> None:  # fmt: skip
    whole = contents(mlp_run(mlp_folder, vectors, tmp_path / "whole").path)
    explain, parent, begun = blocks.explain_parts, os.getpid(), tmp_path / "begun"

    def stops(*arguments: Any) -> Any:
        with begun.open("a") as file:
            file.write("x")
        if begun.stat().st_size == 2:
            os.kill(parent, sent)
            if os.getpid() != parent:
                os.kill(os.getpid(), sent)  # as a batch system does, all processes at once
        return explain(*arguments)

    monkeypatch.setattr(blocks, "explain_parts", stops)
    before = signal.getsignal(sent)
    with pytest.raises(Stopped, match=r"Stopped\. [1-4] of 5 steps are finished") as stopped:
        mlp_run(mlp_folder, vectors, tmp_path / "run", workers=workers)
    assert signal.getsignal(sent) == before
    assert stopped.value.exit_code == 128 + sent
    assert "once more to stop at once" in capfd.readouterr().err
    kept = len(list(read_journal(tmp_path / "run")))
    assert kept == begun.stat().st_size
    monkeypatch.setattr(blocks, "explain_parts", explain)
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", workers=workers)
    assert contents(run.path) == whole


def test_the_second_signal_ends_at_once() -> None:
    with deferred():
        os.kill(os.getpid(), signal.SIGINT)
        assert received() == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert received() == 0


def test_elsewhere_than_in_the_main_thread_nothing_changes() -> None:
    before, found = signal.getsignal(signal.SIGINT), []

    def look() -> None:
        with deferred():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]


def terminated(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    return number


def test_a_worker_that_alone_gets_sigterm_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_PATIENCE", 0.1)
    with pytest.raises(RunError, match=r"a worker process was killed \(SIGTERM\)"):
        list(in_order(terminated, range(6), 2))


def test_the_second_sigterm_ends_as_without_lrpdyn() -> None:
    script = textwrap.dedent(
        """
        import os, signal
        from lrpdyn.system.signals import deferred
        with deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        """
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == -signal.SIGTERM  # which shells call 143


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found in /proc")
@pytest.mark.parametrize(
    ("sent", "times"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 2)]
)
def test_stopped_workers_do_not_keep_a_run_from_ending(
    mlp_folder: Path, tmp_path: Path, sent: signal.Signals, times: int
) -> None:
    np.save(tmp_path / "obs.npy", np.random.default_rng(0).normal(size=(300, 6)))
    command = [sys.executable, "-m", "lrpdyn", "compute", mlp_folder, tmp_path / "obs.npy", "-o",
               tmp_path / "run", "--arch-arg", "activation=tanh", "--workers", "2",
               "--batch-size", "1"]  # fmt: skip
    # A shell lets what it starts in the background ignore SIGINT.
    begins = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True,
                          preexec_fn=begins) as run:  # fmt: skip
        assert run.stderr is not None
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
        while len(workers := [int(child) for child in children.read_text().split()]) < 2:
            assert run.poll() is None
            time.sleep(0.01)
        time.sleep(0.1)  # they ignore SIGINT from here on
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        run.send_signal(sent)
        said = b""
        while b"once more to stop at once" not in said:
            said += os.read(run.stderr.fileno(), 1000)
        if times == 2:
            for worker in workers:  # they went on
                os.kill(worker, signal.SIGSTOP)
            run.send_signal(sent)
        try:
            _, rest = run.communicate(timeout=60)
            assert run.returncode == 128 + sent
            assert b"Stopped." in rest
            assert (times == 1) == (b" steps are finished" in rest)
            assert has_ended(run.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)


def test_waiting_ends_with_a_signal() -> None:
    with deferred():
        assert not wait(0.1)
        began = time.monotonic()
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        assert wait(30)
        assert time.monotonic() - began < 10
