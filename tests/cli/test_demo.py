"""lrpdyn demo: trains, and runs the commands that it prints."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

import lrpdyn
from lrpdyn import demo
from lrpdyn.cli.main import group


def test_the_commands_are_printed_and_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PARALLEL_GAMES", 16)
    monkeypatch.setattr(demo, "train", partial(demo.train, checkpoints=2))
    folder = tmp_path / "demo"
    done = CliRunner().invoke(
        group, ["demo", str(folder), "-q"], obj={"verbose": 0}, standalone_mode=False
    )
    assert done.exception is None
    printed = [line for line in done.stderr.splitlines() if line.startswith("$ ")]
    assert printed == [
        f"$ lrpdyn compute {folder}/checkpoints {folder}/observations.npy -o {folder}/run",
        f"$ lrpdyn plot {folder}/run",
        f"$ lrpdyn outliers {folder}/run",
    ]
    assert "Trained an agent to catch a ball in " in done.stderr
    assert lrpdyn.open_run(folder / "run").steps == (0, 4 * 16 * demo.MOVES)
    assert (folder / "run" / "figures" / "filmstrip_sample0.png").exists()
