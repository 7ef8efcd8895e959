"""How the time of a run is spent, by the clock on the wall."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Times:
    """Seconds by the work that they were spent on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Count the time within."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add({what: time.perf_counter() - start})

    def add(self, others: Mapping[str, float]) -> None:
        """Add seconds that were counted elsewhere."""
        for what, seconds in others.items():
            self.seconds[what] = self.seconds.get(what, 0.0) + seconds

    def taken(self) -> dict[str, float]:
        """Return the seconds since the last call, and begin again."""
        found, self.seconds = self.seconds, {}
        return found


#: The kinds of work in the order of a run, each with the kind that it is a part of.
_ORDER = (
    ("reading headers", ""), ("explaining", ""), ("waiting for workers", "explaining"),
    ("journal", "explaining"), ("sums and measures", "explaining"), ("checks and figure", ""),
    ("sums, tables and report", ""),
)  # fmt: skip
_WORKERS = ("reading weights", "explaining and storing", "evidence", "measures")


def table_of(times: Times) -> str:
    """Return a table of the seconds of a run; those of workers are of all of them together."""
    whole, spent = time.process_time(), defaultdict(float, times.seconds)
    lines = ["profile   seconds by the clock"]
    for what, of in _ORDER:
        lines.append(f"  {'  ' if of else ''}{what:<{26 - 2 * bool(of)}} {spent[what]:9.2f}")
    lines.append("  in all workers together")
    lines += [f"    {what:<24} {spent[what]:9.2f}" for what in _WORKERS]
    lines.append(f"  {'this process, CPU':<26} {whole:9.2f}")
    return "\n".join(lines)
