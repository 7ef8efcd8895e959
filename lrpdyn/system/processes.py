"""Shares work among processes; results come in the order of the work, however it is shared.

Processes are forked after the imports and after the model is made: each has its own copy, and only
the work and its results are sent. Threads were slower: much of a step is Python.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from lrpdyn.errors import RunError, UsageError
from lrpdyn.system import signals

Work = TypeVar("Work")
Result = TypeVar("Result")

#: Pieces of work that are handed out ahead, for each worker.
AHEAD = 2
#: Seconds after which a worker notices that the process that it works for is gone.
_WATCH = 0.2

#: What a forked process inherits: functions with models in them cannot be sent to it.
_inherited: list[Callable[[Any], Any]] = []


def available() -> int:
    """Return the number of cores that this process may use, 1 where processes cannot be forked."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processes(requested: int | None, device: str) -> int:
    """Return the number of processes: those requested, or as many as the machine has cores.

    Raises
    ------
    UsageError
        Less than one is requested.
    """
    if requested is not None and requested < 1:
        raise UsageError(f"workers {requested}: expected 1 or more")
    if device != "cpu":
        return 1  # one process keeps a GPU busy, and one that uses it cannot be forked
    return available() if requested is None or available() == 1 else requested


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
        A worker was killed.
    """
    if workers <= 1:
        yield from map(function, pieces)
        return
    ahead = AHEAD * workers if ahead is None else ahead
    _inherited.append(function)
    parent = os.getpid()
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("fork"),
        initializer=_begin,
        initargs=(parent,),
    )
    waiting: deque[Future[Result]] = deque()
    try:
        for piece in pieces:
            with warnings.catch_warnings():
                # Python 3.12 warns of forking beside threads; those of torch are idle at one thread.
                warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)
                waiting.append(pool.submit(_do, piece))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise RunError(
            "a worker process ended without a word, killed or out of memory; what is finished is kept: "
            "the same command goes on, with --workers 1 or a smaller --batch-size if memory was short"
        ) from error
    finally:
        for future in waiting:
            future.cancel()
        pool.shutdown(wait=True, cancel_futures=True)
        _inherited.remove(function)


def _do(piece: Any) -> Any:
    return _inherited[-1](piece)


def _begin(parent: int) -> None:
    """Set a worker up: its parent decides when to stop, and the worker ends with its parent."""
    signals.set_up_worker()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    with contextlib.suppress(OSError):
        while os.getppid() == parent:
            time.sleep(_WATCH)
    os._exit(1)
