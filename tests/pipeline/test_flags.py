"""Each new flag is told once: to a function, and to a command that reads it as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.errors import UsageError

BARE: dict[str, Any] = {
    "faithfulness": "none",
    "interventions": 0,
    "baseline": "none",
    "quiet": True,
}
#: Adds what it reads to the file that it is given.
COMMAND = (
    "import sys, pathlib; file = pathlib.Path(sys.argv[1]).open('a'); file.write(sys.stdin.read())"
)


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))


def die(dying: torch.nn.Module) -> None:
    """Let no unit of the hidden layer answer to anything."""
    with torch.no_grad():
        dying[0].bias.fill_(-100.0)  # type: ignore[index,union-attr,operator]


def test_watch_tells_a_flag_when_it_comes(vectors: NDArray[np.float32], tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    torch.manual_seed(0)
    dying = network()
    watch = lrpdyn.Watch(
        dying, vectors, out=tmp_path / "run; touch x", share=1, on_flag=told.append, **BARE
    )
    for step in range(6):
        if step == 3:
            assert told == []
            die(dying)
        with torch.no_grad():
            dying[2].weight += 0.01  # type: ignore[index,operator]
        watch.step(step)
        if step == 3:
            before = len(told)
    assert before > 0
    watch.close()
    assert {"kind", "where", "severity", "words", "run"} == set(told[0])
    dead = [flag for flag in told if flag["kind"] == "dead_layer"]
    assert [flag["where"] for flag in dead] == [{"step": 3}]
    assert "step 3" in dead[0]["words"]


def test_a_command_reads_flags_of_a_training_that_is_followed(
    vectors: NDArray[np.float32], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ckpts").mkdir()
    torch.manual_seed(0)
    dying = network()
    for step in range(4):
        if step == 2:
            die(dying)
        with torch.no_grad():
            dying[2].weight += 0.01  # type: ignore[index,operator]
        torch.save(dying.state_dict(), tmp_path / "ckpts" / f"net_{step}.pt")
    options: dict[str, Any] = {"arch": f"{__file__}:network", "workers": 1, **BARE}
    options |= {"follow": True, "poll": 0.05, "idle": 0.3, "out": tmp_path / "run"}
    command = [sys.executable, "-c", COMMAND, str(tmp_path / "flags")]
    lrpdyn.compute(tmp_path / "ckpts", vectors, on_flag=command, **options)
    flags = [json.loads(line) for line in (tmp_path / "flags").read_text().splitlines()]
    assert "dead_layer" in {flag["kind"] for flag in flags}
    # Once more: what was told is not new, and a command that fails ends nothing.
    lrpdyn.compute(tmp_path / "ckpts", vectors, on_flag="false", **options)
    assert "on-flag" not in capfd.readouterr().err
    lrpdyn.compute(tmp_path / "ckpts", vectors, on_flag="false", overwrite=True, **options)
    assert "Warning: on-flag" in capfd.readouterr().err
    with pytest.raises(UsageError, match="only with --follow"):
        lrpdyn.compute(
            tmp_path / "ckpts",
            vectors,
            on_flag="true",
            **{**options, "follow": False, "idle": None},
        )
