"""lrpdyn compute, as a user types it."""

from __future__ import annotations

from pathlib import Path

from tests.cli.processes import lrpdyn


def test_a_finished_run_has_nothing_to_do(folder: Path, ppo_folder: Path) -> None:
    result = lrpdyn("compute", ppo_folder, "obs.npy", cwd=folder)
    assert result.returncode == 0
    assert "is finished: 4 steps; nothing to do" in result.stderr
