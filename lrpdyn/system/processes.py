"""Shares work among processes; results come in the order of the work, however it is shared.

Processes are forked after the imports and after the model is made: each has its own copy, and only
the work and its results are sent. Threads were slower: much of a step is Python.
"""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from lrpdyn.errors import RunError, UsageError
from lrpdyn.system import memory, signals

Work = TypeVar("Work")
Result = TypeVar("Result")

#: Pieces of work that are handed out ahead, for each worker.
AHEAD = 2
#: Seconds after which a worker notices that the process that it works for is gone, and that process
#: that it is to stop.
_WATCH = 0.2
#: What Python says where a thread has no memory for its stack.
_NO_THREAD = "can't start new thread"

#: Bytes for what a worker does, which its parent reads where it ends without a word.
_NOTE = 1024
_own_note: memoryview | None = None
#: What most likely lies behind the signal that ended a worker.
_LIKELY: dict[int, str] = {
    signal.SIGKILL: "most likely by the system, out of memory: fewer --workers or a smaller "
    "--batch-size need less",
    signal.SIGBUS: "a file in memory was cut short, or its disk is full or failed (/dev/shm is one)",
    signal.SIGSEGV: "a fault in torch or in a library that it uses; try --workers 1, and another "
    "version of torch",
    signal.SIGXCPU: "its time was over (ulimit -t)",
}
_LIKELY |= dict.fromkeys((signal.SIGABRT, signal.SIGILL, signal.SIGFPE), _LIKELY[signal.SIGSEGV])

#: What a forked process inherits: functions with models in them cannot be sent to it.
_inherited: list[Callable[[Any], Any]] = []


def available() -> int:
    """Return the number of cores that this process may use, 1 where processes cannot be forked."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores(requested: int | None) -> int:
    """Return the number of cores to work with: those requested, or as many as the machine has.

    Raises
    ------
    UsageError
        Less than one is requested.
    """
    if requested is not None and requested < 1:
        raise UsageError(f"workers {requested}: expected 1 or more")
    return available() if requested is None or available() == 1 else requested


def processes(requested: int | None, device: str) -> int:
    """Return the number of processes: as `cores`, and 1 on a device that is not the CPU.

    One process keeps a GPU busy, and one that uses it cannot be forked; its threads have all cores.
    """
    shared = cores(requested)
    return shared if device == "cpu" else 1


def in_order(
    function: Callable[[Work], Result],
    pieces: Iterable[Work],
    workers: int,
    ahead: int | None = None,
) -> Iterator[Result]:
    """Yield the result of each piece, in order.

    Parameters
    ----------
    function
        Does one piece; results must be plain data. With more than one worker it runs in forked
        processes, which see everything as it is at the first piece.
    pieces
        Taken as they are needed: the queue of what is handed out is bounded.
    workers
        The number of processes; 1 does the work here.
    ahead
        Pieces that are handed out at once, at most; `AHEAD` for each worker where not given. Where some
        take much longer than others, so many keep all workers busy.

    Raises
    ------
    RunError
        A worker was killed; the message says by which signal, and on what. Or there is too little memory
        for the threads that hand out work.
    """
    if workers <= 1:
        yield from map(function, pieces)
        return
    ahead = AHEAD * workers if ahead is None else ahead
    _inherited.append(function)
    notes = mmap.mmap(-1, workers * _NOTE)
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("fork"),
        initializer=_begin,
        initargs=(os.getpid(), notes, workers),
    )
    begun: list[BaseProcess] = []
    waiting: deque[Future[Result]] = deque()
    broken: BrokenProcessPool | None = None
    try:
        with _killing():
            for piece in pieces:
                with warnings.catch_warnings():
                    # Python 3.12 warns of forking beside threads; those of torch are idle at one thread.
                    warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)
                    waiting.append(pool.submit(_do, piece))
                if not begun:  # all are started with the first piece
                    begun = list(pool._processes.values())
                    signals.workers.update(begun)
                if len(waiting) >= ahead:
                    yield _result(pool, waiting.popleft())
            while waiting:
                yield _result(pool, waiting.popleft())
    except BrokenProcessPool as error:
        broken = error
    except RuntimeError as error:
        if _NO_THREAD not in str(error):
            raise
        for worker in pool._processes.values():  # nobody else tells them to end
            worker.kill()
            worker.join()
        raise RunError(
            f"{_NO_THREAD}: too little memory, or too many processes (ulimit -v, -u); --workers 1 needs "
            "less; what is finished is kept: the same command goes on"
        ) from error
    finally:
        for future in waiting:
            future.cancel()
        with _killing():
            signals.wake_workers()
            pool.shutdown(wait=_hands_out(pool), cancel_futures=True)
        signals.workers.difference_update(begun)
        _inherited.remove(function)
    if broken is not None:  # now that all have ended, so that each has an exit code
        raise RunError(_why(begun, notes)) from broken


def working_on(what: str) -> None:
    """Leave word of what a worker does, for the message if it is killed; elsewhere nothing happens."""
    if _own_note is not None:
        text = f"{os.getpid()} {what}".encode(errors="surrogateescape")[:_NOTE]
        _own_note[:] = text.ljust(_NOTE, b"\0")


def _result(pool: ProcessPoolExecutor, future: Future[Result]) -> Result:
    while not wait([future], _WATCH).done:
        if signals.received():
            signals.wake_workers()
        if not _hands_out(pool) and not future.done():
            raise RuntimeError(_NO_THREAD)
    return future.result()


def _hands_out(pool: ProcessPoolExecutor) -> bool:
    """Tell whether the thread lives that hands out the work: one that cannot start others ends."""
    thread: Any = pool._executor_manager_thread
    return thread is not None and bool(thread.is_alive())


@contextlib.contextmanager
def _killing() -> Iterator[None]:
    """Kill the workers where the user interrupts: nothing is to be waited for."""
    try:
        yield
    except KeyboardInterrupt:
        signals.kill_workers()
        raise


def _why(workers: Sequence[BaseProcess], notes: bytes | mmap.mmap) -> str:
    """Return the message on the worker that was killed; the others were then ended by SIGTERM."""
    terminated = (-signal.SIGTERM, 128 + signal.SIGTERM)
    dead = min(workers, key=lambda worker: worker.exitcode in (0, None, *terminated))
    code = dead.exitcode or 0
    number = signal.SIGTERM if code in terminated else -code
    try:
        how = f"was killed ({signal.Signals(number).name}): {_LIKELY.get(number, 'from outside')}"
    except ValueError:
        how = f"ended with exit code {code}: {_LIKELY[signal.SIGSEGV]}"
    said = (notes[at : at + _NOTE] for at in range(0, len(notes), _NOTE))
    at = f"{dead.pid} ".encode()
    on = next((text[len(at) :].rstrip(b"\0") for text in said if text.startswith(at)), b"")
    if code in terminated and sum(worker.exitcode in terminated for worker in workers) > 1:
        on = b""  # which of them was the first is not known
    where = f"{on.decode(errors='surrogateescape')}: the worker process that explained it"
    return f"{where if on else 'a worker process'} {how}; what is finished is kept: the same command goes on"


def _do(piece: Any) -> Any:
    working_on("")
    return _inherited[-1](piece)


def _begin(parent: int, notes: mmap.mmap, workers: int) -> None:
    """Set a worker up: its parent decides when to stop, and the worker ends with its parent."""
    global _own_note
    # Workers that are started one after the other have successive numbers: ForkProcess-8, or -1:8.
    number = multiprocessing.current_process().name.replace(":", "-").rpartition("-")[2]
    at = int(number) % workers * _NOTE
    _own_note = memoryview(notes)[at : at + _NOTE]
    memory.keep()
    signals.set_up_worker()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    with contextlib.suppress(OSError):
        while os.getppid() == parent:
            time.sleep(_WATCH)
    os._exit(1)
