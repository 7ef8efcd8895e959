"""One process at a time on a run folder, by name, and no lock outlives its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from filelock import SoftFileLock

from lrpdyn.errors import RunError
from lrpdyn.run import lock
from lrpdyn.run.lock import HOLDER, LOCK, locked, read_holder

HOLDS = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from lrpdyn.run import lock
    if sys.argv[2] == "soft":
        lock.FileLock = lock.SoftFileLock
    with lock.locked(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
    """
)


def holding(run: Path, kind: str = "hard") -> subprocess.Popen[str]:
    """Start a process that holds the folder until it is told to end."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(run), kind], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("\n")


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_the_second_is_told_of_the_first(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "soft":
        monkeypatch.setattr(lock, "FileLock", SoftFileLock)
    process = holding(tmp_path / "run", kind)
    held = pytest.raises(
        RunError, match=rf"process {process.pid} on .*, since 2.*--wait SECONDS.*-o"
    )
    with held, locked(tmp_path / "run"):
        pytest.fail("two at once")
    end(process)
    with locked(tmp_path / "run"):
        assert (tmp_path / "run" / LOCK).exists()
    assert not (tmp_path / "run").exists()


def test_the_second_waits_where_it_is_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = holding(tmp_path)
    assert process.stdin is not None
    with pytest.raises(RunError), locked(tmp_path, wait=0.2):
        pytest.fail("two at once")
    assert f"waiting for process {process.pid}" in " ".join(capsys.readouterr().err.split())
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(.3); print()"],
                     stdout=process.stdin).wait()  # fmt: skip
    with locked(tmp_path, wait=60):
        assert json.loads((tmp_path / HOLDER).read_text())["process"] == os.getpid()
    process.communicate()


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_a_lock_ends_with_its_process(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "soft":
        monkeypatch.setattr(lock, "FileLock", SoftFileLock)
    process = holding(tmp_path, kind)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    holder = read_holder(tmp_path)
    assert holder is not None
    assert holder.is_gone
    with locked(tmp_path, wait=30):
        assert not (read_holder(tmp_path) or holder).is_gone
    assert list(tmp_path.iterdir()) == []


def test_a_holder_elsewhere_is_not_taken_for_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "FileLock", SoftFileLock)
    (tmp_path / LOCK).write_text("1\nanother-host\n")
    (tmp_path / HOLDER).write_text('{"host": "another-host", "process": 1, "since": "today"}')
    with (
        pytest.raises(RunError, match=r"process 1 on another-host.*gone for sure, delete .*\.lock"),
        locked(tmp_path),
    ):
        pytest.fail("two at once")


@pytest.mark.parametrize("text", ["", "[1]", '{"host": 1}', "\x1b]0;x\x07", "[" * 100_000])
def test_a_damaged_name_is_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / HOLDER).write_text(text)
    assert read_holder(tmp_path) is None
    with locked(tmp_path):
        pass


def test_what_was_made_for_nothing_is_taken_away(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="early"), locked(tmp_path / "a" / "b"):
        raise ValueError("early")
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").touch()
    assert os.listdir(tmp_path / "a" / "b") == ["file"]


def test_five_at_once_write_one_after_the_other(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from lrpdyn.run.lock import locked
        run = Path(sys.argv[1])
        for _ in range(20):
            with locked(run, wait=60):
                number = int((run / "count").read_text())
                time.sleep(0.001)
                (run / "count").write_text(str(number + 1))
        """
    )
    (tmp_path / "count").write_text("0")
    started = time.monotonic()
    processes = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(5)]
    assert [process.wait() for process in processes] == [0] * 5
    assert (tmp_path / "count").read_text() == "100", time.monotonic() - started
