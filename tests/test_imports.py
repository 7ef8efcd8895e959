"""Imports between the rooms run one way: the contracts of import-linter in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lint(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; "
               "lint_imports_command()", "--no-cache", *options]  # fmt: skip
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_imports_keep_the_contracts() -> None:
    found = lint()
    assert found.returncode == 0, found.stdout + found.stderr
    assert "4 kept, 0 broken" in found.stdout


def test_at_most_eight_files_lie_at_the_root() -> None:
    assert len(list((ROOT / "lrpdyn").glob("*.py"))) <= 8
