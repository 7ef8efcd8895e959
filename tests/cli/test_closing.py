"""What commands that make a run say at their end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lrpdyn.cli.closing import print_warnings


def made(*entries: dict[str, Any], **manifest: Any) -> Any:
    """Return a run with these checkpoints."""
    return SimpleNamespace(path=Path("run"), manifest={"checkpoints": entries, **manifest})


def test_a_run_without_warnings_prints_its_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_warnings(made({"step": 1, "status": "done", "reason": None})) == 0
    assert capsys.readouterr() == ("run\n", "")


def test_skipped_checkpoints_have_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_warnings(made({"step": 1, "status": "bad", "reason": "a.pt: ends early"})) == 3
    assert capsys.readouterr() == ("run\n", "Skipped: a.pt: ends early\n")


def test_steps_that_are_not_finite_or_equal_are_warnings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    entry = {"step": 2000, "status": "not_finite", "reason": "holds NaN"}
    assert print_warnings(made(entry, weights={"same": [list(range(7))]})) == 0
    assert capsys.readouterr().err == (
        "Warning: step 2,000: holds NaN\n"
        "Warning: steps 0, 1, 2, 3, 4, 5 ... have the same weights\n"
    )
