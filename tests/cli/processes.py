"""Commands in whole processes, as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path


def lrpdyn(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "lrpdyn", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def has_ended(group: int) -> bool:
    """Tell whether no process of a group is left, within five seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
