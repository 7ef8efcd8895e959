"""Numbers that torch draws from a seed, while the random state of the process stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw within as after ``torch.manual_seed(seed)``; afterwards all draw as if nothing had been.

    So do graphics cards, as far as they are in use: ``torch.manual_seed`` seeds them too, and those
    that are not yet in use once they are, whatever ``fork_rng`` gives back.
    """
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cards = range(torch.cuda.device_count() if in_use else 0)
    with torch.random.fork_rng(devices=cards):
        torch.default_generator.manual_seed(seed)
        if cards:
            torch.cuda.manual_seed_all(seed)
        yield
