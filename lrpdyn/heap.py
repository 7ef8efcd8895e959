"""Memory that was freed: kept for the next step, and given back to the system now and then.

glibc gives the end of its heap back as soon as it is free, and takes it again page by page for the next
step, which took as long as the arithmetic. It keeps what large arrays leave behind elsewhere, in pieces
that other large arrays do not fit into: over many batches a process grows by a tenth although it holds
nothing.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

#: Samples after which memory is given back: it takes a fiftieth of the time of explaining them.
SAMPLES = 512

#: What ``mallopt`` calls the bytes at the end of the heap that are kept, and those from which on memory
#: comes from the system and not from the heap; the second has its largest value.
_TRIM_THRESHOLD, _KEPT = -1, 1 << 28
_MMAP_THRESHOLD, _LARGEST = -3, 1 << 25


def keep() -> None:
    """Keep what is freed for the next step, where the allocator is one that can be told to.

    It stays so in this process, and in those that are forked from it.
    """
    tell = _of_libc("mallopt")
    if tell is not None:
        tell(_TRIM_THRESHOLD, _KEPT)
        tell(_MMAP_THRESHOLD, _LARGEST)


@contextmanager
def kept() -> Iterator[None]:
    """Keep what is freed within, as `keep` does, and give it back at the end."""
    keep()
    try:
        yield
    finally:
        give_back()


def give_back() -> None:
    """Give back what is free, where the allocator is one that can be told to."""
    trim = _of_libc("malloc_trim")
    if trim is not None:
        trim(0)


@cache
def _of_libc(name: str) -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    found: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return found
