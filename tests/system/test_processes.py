"""Work shared among processes: in order, bounded, and over when the process it is for is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest

from lrpdyn.errors import CheckpointError, RunError
from lrpdyn.system.processes import AHEAD, available, in_order

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


def failing(number: int) -> int:
    if number == 3:
        raise CheckpointError("step 3: cannot be read")
    return number


def test_an_error_comes_in_its_place() -> None:
    results = in_order(failing, range(8), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(CheckpointError, match="step 3: cannot be read"):
        next(results)


def killed(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_worker_that_is_killed_is_told_of() -> None:
    with pytest.raises(RunError, match=r"killed or out of memory.*--workers 1"):
        list(in_order(killed, range(8), 2))


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
