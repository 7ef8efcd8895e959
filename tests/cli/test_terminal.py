"""Lines on a terminal keep to its width; where a program reads them they are as they were."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import all_of

pytestmark = pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")


def on_terminal(width: int, cwd: Path, *arguments: str) -> list[str]:
    """Return what a command prints on a terminal, on both streams."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "lrpdyn", *arguments],
        env=environment, cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        text = all_of(ours)
        process.wait()
    os.close(ours)
    # A bar is drawn over itself, and removed.
    return [line.rpartition("\r")[2] for line in text.decode().replace("\r\n", "\n").splitlines()]


@pytest.mark.parametrize("width", [40, 80])
def test_errors_and_rules_keep_words_whole_within_the_width(tmp_path: Path, width: int) -> None:
    error = on_terminal(width, tmp_path, "compute", "x", "y", "--rule", "gama")
    assert len(error) > 2
    assert "did you mean gamma?" in " ".join(map(str.strip, error))
    rules = on_terminal(width, tmp_path, "rules")
    assert any(line.startswith("    ") for line in rules)
    assert max(map(len, [*error, *rules])) <= width


def test_a_narrow_terminal_has_once_what_all_checkpoints_share(ppo_folder: Path) -> None:
    lines = on_terminal(60, ppo_folder.parent, "inspect", ppo_folder.name)
    assert sum("num_timesteps" in line for line in lines) == 1
    assert max(map(len, lines)) <= 60
