"""A run that gets a signal finishes the step in hand, keeps it, and resumes to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lrpdyn.errors import RunError
from lrpdyn.pipeline import blocks
from lrpdyn.run.journal import read_journal
from lrpdyn.system import signals
from lrpdyn.system.processes import in_order
from lrpdyn.system.signals import Stopped, deferred, received, wait
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
    with pytest.raises(RunError, match="a worker process ended"):
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


def test_waiting_ends_with_a_signal() -> None:
    with deferred():
        assert not wait(0.1)
        began = time.monotonic()
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        assert wait(30)
        assert time.monotonic() - began < 10
