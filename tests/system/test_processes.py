"""Work shared among processes: in order, bounded, and over when the process it is for is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from functools import partial

import pytest

from lrpdyn.errors import CheckpointError, RunError, UsageError
from lrpdyn.system import signals
from lrpdyn.system.processes import AHEAD, available, cores, in_order, processes, working_on

pytestmark = pytest.mark.skipif(available() == 1 and os.name == "nt", reason="no fork")


def slow_first(number: int) -> tuple[int, int]:
    if number == 0:
        time.sleep(0.3)
    return number, os.getpid()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_the_order_of_the_work(workers: int) -> None:
    found = list(in_order(slow_first, range(10), workers))
    assert [number for number, _ in found] == list(range(10))
    others = {process for _, process in found} - {os.getpid()}
    assert len(others) <= workers
    assert bool(others) == (workers > 1)


@pytest.mark.parametrize(("given", "expected"), [(None, AHEAD * 2), (7, 7)])
def test_only_so_much_is_handed_out_ahead(given: int | None, expected: int) -> None:
    taken: list[int] = []

    def pieces() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    results = in_order(slow_first, pieces(), 2, given)
    assert next(results)[0] == 0
    assert len(taken) == expected
    results.close()  # type: ignore[attr-defined]
    assert len(taken) == expected


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_has_one_process_and_all_cores(device: str) -> None:
    assert (processes(None, "cpu"), processes(None, device)) == (cores(None), 1)
    assert (processes(1, "cpu"), processes(7, device), cores(1)) == (1, 1, 1)
    for function in (cores, partial(processes, device=device)):
        with pytest.raises(UsageError, match="workers 0: expected 1 or more"):
            function(0)


def failing(number: int) -> int:
    if number == 3:
        raise CheckpointError("step 3: cannot be read")
    return number


def test_an_error_comes_in_its_place() -> None:
    results = in_order(failing, range(8), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(CheckpointError, match="step 3: cannot be read"):
        next(results)


@pytest.mark.parametrize(
    ("number", "says"),
    [(signal.SIGKILL, r"was killed \(SIGKILL\): most likely .* out of memory: fewer --workers"),
     (signal.SIGBUS, r"was killed \(SIGBUS\): a file in memory was cut short"),
     (signal.SIGSEGV, r"was killed \(SIGSEGV\): a fault in torch"),
     (signal.SIGTERM, r"was killed \(SIGTERM\): from outside"),
     (0, "ended with exit code 3: a fault in torch")],
)  # fmt: skip
def test_what_ended_a_worker_is_said_and_what_it_was_on(
    number: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "_PATIENCE", 0.1)

    def work(piece: int) -> int:
        working_on(f"piece {piece}")
        if piece == 2:
            signal.signal(signal.SIGBUS, signal.SIG_DFL)
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)
            os.kill(os.getpid(), number) if number else os._exit(3)
        if piece > 2:
            time.sleep(0.2)
        return piece

    where = "piece 2: the worker process that explained it"
    if number == signal.SIGTERM:  # the pool ends the others so, too
        where = f"({where}|a worker process)"
    with pytest.raises(RunError, match=f"^{where} {says}"):
        list(in_order(work, range(8), 2))


def test_of_a_worker_that_left_no_word_the_signal_is_said() -> None:
    with pytest.raises(RunError, match=r"^a worker process was killed \(SIGKILL\)"):
        list(in_order(lambda _: os.kill(os.getpid(), signal.SIGKILL), range(8), 2))


def test_what_is_there_at_the_first_piece_need_not_be_sent() -> None:
    held = {"a lambda": lambda number: 2 * number}
    assert list(in_order(lambda number: held["a lambda"](number), [1, 2], 2)) == [2, 4]


def test_workers_end_with_the_process_that_they_work_for() -> None:
    script = textwrap.dedent(
        """
        import os, time
        from lrpdyn.system.processes import in_order
        def work(number):
            time.sleep(0 if number < 2 else 60)
            return os.getpid()
        for process in in_order(work, range(8), 2):
            print(process, flush=True)
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        os.kill(worker, signal.SIGKILL)
        pytest.fail("the worker went on")
    parent.stdout.close()


@pytest.mark.parametrize("broken", ["queues.Queue", "process._ExecutorManagerThread"])
def test_too_little_memory_for_a_thread_is_said_and_not_waited_for(broken: str) -> None:
    """The thread that hands work out cannot be started, or cannot start the one that sends it."""
    program = textwrap.dedent(f"""
        import threading
        from concurrent.futures import process
        from multiprocessing import queues
        from lrpdyn.errors import RunError
        from lrpdyn.system.processes import in_order
        def none(*_):
            raise RuntimeError("can't start new thread")
        {broken}.{"_start_thread" if broken.endswith("Queue") else "start"} = none
        threading.excepthook = lambda _: None
        try:
            list(in_order(abs, range(5), 2))
        except RunError as error:
            print(error)
    """)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                           check=True, timeout=60)  # fmt: skip
    assert ended.stdout.startswith("can't start new thread: too little memory")
    assert ended.stderr == ""
