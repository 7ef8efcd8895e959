"""Work that a thread does ahead of its turn: one piece, while the result before it is used."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import TypeVar

Work = TypeVar("Work", bound=Hashable)
Result = TypeVar("Result")


@contextmanager
def one_ahead(
    function: Callable[[Work], Result], pieces: Sequence[Work]
) -> Iterator[Callable[[Work], Result]]:
    """Give `function`, with the next piece on its way each time one is given out.

    What is given returns and raises, for every piece, what `function` does; the error of a piece that
    was done ahead is raised by its own call. All calls of `function` are made by one thread, one after
    the other. At most one result waits, next to the one that was given out last. At the end of the
    context the piece that is worked on is waited for, and dropped.

    Parameters
    ----------
    function
        Does one piece; in another thread than the caller's.
    pieces
        Those that differ, in the order in which they are asked for. Asked for in another order they are
        right as well, and none is ready.
    """
    following = dict(pairwise(pieces))
    ahead: dict[Work, Future[Result]] = {}
    with ThreadPoolExecutor(1) as thread:

        def result_of(piece: Work) -> Result:
            future = ahead.get(piece) or thread.submit(function, piece)
            ahead.clear()
            try:
                return future.result()
            finally:
                if piece in following:
                    ahead[following[piece]] = thread.submit(function, following[piece])

        yield result_of
