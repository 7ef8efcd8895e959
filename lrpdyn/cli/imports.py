"""Imports torch and what is built on it, with no garbage collection meanwhile."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_DOING = "Loading PyTorch ..."


@contextmanager
def loading(*, quiet: bool = False) -> Iterator[None]:
    """Import within this: what is loaded lives as long as the process, and is never collected.

    Python would search the objects of torch and Captum for garbage again and again while they are
    made, and once more at the end: a third of the time that they take to be loaded. Worker processes
    then share their memory too, which a search for garbage would copy. A terminal says so meanwhile,
    unless it should be `quiet`.
    """
    shown = not quiet and sys.stderr.isatty()
    if shown:
        print(_DOING, end="", file=sys.stderr, flush=True)
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if shown:
            print(f"\r{' ' * len(_DOING)}\r", end="", file=sys.stderr, flush=True)
        if enabled:
            gc.enable()
