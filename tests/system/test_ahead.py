"""One piece of work ahead: the same results and errors, in their turn, and never more than one waiting."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence

import pytest

from lrpdyn.errors import CheckpointError
from lrpdyn.system.ahead import one_ahead

#: Seconds after which a thread that should have come is given up.
PATIENCE = 30


def doubled(number: int) -> int:
    if number == 3:
        raise CheckpointError("step 3: cannot be read")
    return 2 * number


@pytest.mark.parametrize("order", [[1, 2, 3, 4, 5], [4, 1, 5, 3, 3, 2], [7]])
def test_every_piece_gives_what_the_function_gives(order: Sequence[int]) -> None:
    with one_ahead(doubled, [1, 2, 3, 4, 5]) as result_of:
        for piece in order:
            if piece == 3:
                with pytest.raises(CheckpointError, match="step 3"):
                    result_of(piece)
            else:
                assert result_of(piece) == 2 * piece


def test_the_next_piece_alone_is_done_while_one_is_used() -> None:
    done = {number: threading.Event() for number in range(5)}
    threads = set()

    def work(number: int) -> int:
        threads.add(threading.current_thread())
        done[number].set()
        return number

    with one_ahead(work, range(5)) as result_of:
        for number in range(4):
            assert result_of(number) == number
            assert done[number + 1].wait(PATIENCE)  # nobody asked for it yet
            assert not any(done[later].is_set() for later in range(number + 2, 5))
    assert len(threads - {threading.current_thread()}) == len(threads) == 1
    assert not threads.pop().is_alive()


def test_after_an_error_the_next_piece_is_ahead_again() -> None:
    done = threading.Event()

    def work(number: int) -> int:
        if number == 4:
            done.set()
        return doubled(number)

    with one_ahead(work, [3, 4]) as result_of:
        with pytest.raises(CheckpointError, match="step 3"):
            result_of(3)
        assert done.wait(PATIENCE)


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 1]])
def test_only_the_next_result_is_kept(order: Sequence[int]) -> None:
    class Weights:
        pass

    done = {number: threading.Event() for number in range(1, 5)}
    there: weakref.WeakSet[Weights] = weakref.WeakSet()

    def work(number: int) -> Weights:
        weights = Weights()
        there.add(weights)
        done[number].set()
        return weights

    with one_ahead(work, [1, 2, 3, 4]) as result_of:
        for number in order:
            result_of(number)
            assert done[number + 1].wait(PATIENCE)
            assert len(there) == 1


def test_what_is_begun_at_the_end_is_waited_for() -> None:
    ended = threading.Event()
    released = threading.Event()

    def work(number: int) -> int:
        if number == 2:
            released.wait(PATIENCE)
            ended.set()
        return number

    with one_ahead(work, [1, 2]) as result_of:
        result_of(1)
        released.set()
    assert ended.is_set()
