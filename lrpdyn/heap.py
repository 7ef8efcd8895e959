"""Memory that was freed, given back to the system.

glibc keeps what large arrays leave behind, in pieces that other large arrays do not fit into: over many
batches a process grows by a tenth although it holds nothing.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache

#: Samples after which memory is given back: it takes a fiftieth of the time of explaining them.
SAMPLES = 512


def give_back() -> None:
    """Give back what is free, where the allocator is one that can be told to."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
