"""Imports torch and what is built on it, with no garbage collection meanwhile."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Import within this: what is loaded lives as long as the process, and is never collected.

    Python would search the objects of torch and Captum for garbage again and again while they are
    made, and once more at the end: a third of the time that they take to be loaded. Worker processes
    then share their memory too, which a search for garbage would copy.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
