"""SIGINT and SIGTERM: the step in hand is finished and kept, then a line says how to resume."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from lrpdyn.errors import LrpdynError

#: One byte that forked workers share: the number of the signal that came, or 0.
_received = mmap.mmap(-1, 1)
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


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Note the first SIGINT or SIGTERM instead of ending; a second one acts as it did before.

    Python handles signals in the main thread alone: elsewhere nothing changes.
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
        restore()
        with contextlib.suppress(OSError):
            os.write(2, _MESSAGE)  # print may be what was interrupted

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
