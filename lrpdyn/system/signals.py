"""SIGINT and SIGTERM: the step in hand is finished and kept, then a line says how to resume."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from typing import Any

from lrpdyn.errors import LrpdynError

#: One byte that forked workers share: the number of the signal that came, or 0.
_received = mmap.mmap(-1, 1)
#: The processes that work for this one.
workers: set[BaseProcess] = set()
#: Seconds that a worker which gets SIGTERM waits for its parent to get a signal too: a batch system
#: signals all processes at once, the pool of a worker that died only the other workers.
_PATIENCE = 3.0

_MESSAGE = b"\nStopping when the step in hand is finished; once more to stop at once.\n"


class Stopped(LrpdynError):  # noqa: N818 - nothing is wrong
    """The run was stopped by a signal, which the exit code tells."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


def received() -> int:
    """Return the number of the signal that asks this run to stop, or 0."""
    return _received[0]


def wait(seconds: float) -> bool:
    """Return whether a signal came, after `seconds` or as soon as it does."""
    end = time.monotonic() + seconds
    while not received() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))
    return bool(received())


def stopped(done: int, total: int) -> Stopped:
    """Return the error to raise once the step in hand is finished."""
    return Stopped(
        f"Stopped. {done:,} of {total:,} steps are finished and kept: the same command goes on from "
        "there.",
        received(),
    )


def kill_workers() -> None:
    """End the workers of this process at once, those too that are stopped (SIGSTOP)."""
    for worker in workers:
        worker.kill()


def wake_workers() -> None:
    """Let workers that are stopped (SIGSTOP) go on: nothing else would end their work."""
    for worker in workers:
        if worker.exitcode is None and worker.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGCONT)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Note the first SIGINT or SIGTERM instead of ending; a second one acts as it did before.

    It also kills the workers, which may be stopped, or busy for long. Python handles signals in the main
    thread alone: elsewhere nothing changes.
    """
    _received[0] = 0
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, earlier in before.items():
            signal.signal(number, earlier)

    def note(signum: int, frame: Any) -> None:
        _received[0] = signum
        for number in before:
            signal.signal(number, end)
        with contextlib.suppress(OSError):
            os.write(2, _MESSAGE)  # print may be what was interrupted

    def end(signum: int, frame: Any) -> None:
        kill_workers()
        restore()
        signal.raise_signal(signum)

    for number in before:
        signal.signal(number, note)
    try:
        yield
    finally:
        restore()
        _received[0] = 0


def set_up_worker() -> None:
    """Let this worker finish its work where the whole run is to stop, and end by SIGTERM alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_unless_all_stop)


def _end_unless_all_stop(signum: int, frame: Any) -> None:
    if not wait(_PATIENCE):
        os._exit(128 + signum)
