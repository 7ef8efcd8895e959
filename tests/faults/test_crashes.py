"""A small part of the campaign in tests/faults/crashes.py, the same at every run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_nothing_is_lost() -> None:
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-m", "tests.faults.crashes", "kills,fsync,torn,together", "2", "20240"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count(" 0 lost") == 4
    # Processes that were over before are not among the faults of a campaign, but beside them.
    kills = re.search(r"^SIGKILL: (\d+) faults tried, (\d+) survived", found.stdout, re.MULTILINE)
    assert kills is not None
    assert int(kills[1]) == int(kills[2]) >= 2
