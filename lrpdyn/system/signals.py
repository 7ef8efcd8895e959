"""Being told to stop: the step in hand is finished and kept, and then it is said how to go on."""

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

#: One byte that forked workers share: the signal that was asked with, or 0.
_asked = mmap.mmap(-1, 1)
#: Seconds within which the process that a worker works for says whether it is to stop too: a batch
#: system signals all processes at once, the pool of a process that broke only its workers.
_PATIENCE = 1.0

_MESSAGE = b"\nStopping when the step in hand is finished; once more to stop at once.\n"


class Stopped(LrpdynError):  # noqa: N818 - nothing is wrong
    """The run was told to stop, and did; the exit code is that of the signal."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


def asked() -> int:
    """Return the number of the signal that told this process to stop, or 0."""
    return _asked[0]


def stopped(done: int, total: int) -> Stopped:
    """Return what is raised once the step in hand is finished."""
    return Stopped(
        f"Stopped. {done:,} of {total:,} steps are finished and kept: the same command goes on from "
        "there.",
        asked(),
    )


@contextlib.contextmanager
def heeded() -> Iterator[threading.Event]:
    """Take note of SIGINT and SIGTERM instead of ending at once; a second one ends at once.

    Gives what is set when one comes. Signals can be heeded in the main thread alone: elsewhere
    nothing changes.
    """
    told = threading.Event()
    _asked[0] = 0
    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    process = os.getpid()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def heed(signum: int, frame: Any) -> None:
        if os.getpid() == process and not asked():
            _asked[0] = signum
            told.set()
            with contextlib.suppress(OSError):
                os.write(2, _MESSAGE)  # print may be what was interrupted
            return
        earlier = before[signal.Signals(signum)]
        if callable(earlier):
            earlier(signum, frame)
        else:
            os._exit(128 + signum)

    for number in before:
        signal.signal(number, heed)
    try:
        yield told
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
        _asked[0] = 0


class Worker:
    """How a worker heeds SIGTERM: it finishes its piece where the whole is to stop, or else ends."""

    def __init__(self) -> None:
        self._busy = self._told = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._terminated)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Finish what is done in this block, whatever is told meanwhile."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
            if self._told:
                _end_unless_asked()

    def _terminated(self, signum: int, frame: Any) -> None:
        self._told = True
        if not self._busy:
            _end_unless_asked()


def _end_unless_asked() -> None:
    deadline = time.monotonic() + _PATIENCE
    while not asked() and time.monotonic() < deadline:
        time.sleep(0.01)
    if not asked():
        os._exit(128 + signal.SIGTERM)
