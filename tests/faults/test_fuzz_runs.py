"""A small part of the campaign in tests/faults/fuzz_runs.py, the same at every run."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.faults.fuzz_runs import campaign


def test_runs_of_strangers_do_no_harm(tmp_path: Path) -> None:
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGPROF, signal.SIGALRM)}
    try:
        counts, harm = campaign(tmp_path, range(40))
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
    assert not harm
    assert min(counts["read"], counts["refused"]) > 20
