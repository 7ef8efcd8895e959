"""Numbers that torch draws from a seed, while the random state of the process stays as it was."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw within as after ``torch.manual_seed(seed)``; afterwards all draw as if nothing had been.

    So do graphics cards, as far as they are in use: ``torch.manual_seed`` seeds them too, and those
    that are not yet in use once they are, whatever ``fork_rng`` gives back.
    """
    cards = _cards_in_use()
    with torch.random.fork_rng(devices=cards):
        torch.default_generator.manual_seed(seed)
        if cards:
            torch.cuda.manual_seed_all(seed)
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let Python, NumPy and torch draw afterwards as if nothing within had drawn."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=_cards_in_use()):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


def _cards_in_use() -> range:
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return range(torch.cuda.device_count() if in_use else 0)
