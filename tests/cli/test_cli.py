"""Several commands on one folder, as a user runs them: whole processes, outputs, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.processes import lrpdyn


@pytest.mark.slow
def test_regions_curve_and_compare(folder: Path, ppo_folder: Path) -> None:
    masks = np.zeros((84, 84), dtype=bool)
    masks[40:] = True
    np.savez(folder / "masks.npz", lower=masks)
    (folder / "log.csv").write_text("step,reward\n0,1\n16,2\n32,4\n48,3\n")
    result = lrpdyn(
        "compute", ppo_folder, "obs.npy", "--rule", "gamma", "-o", "other-rule",
        "--regions", "masks.npz", "--fill", "0", "--curve", "log.csv:reward", cwd=folder,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    table = lrpdyn("outliers", "other-rule", "--kind", "cells", cwd=folder).stdout
    assert "regions: share of sum|R|, effect of painting over" in table
    assert "compared with log.csv:reward" in table
    assert "effect_lower" in table
    given = lrpdyn("outliers", "--kind", "cells", "--curve", "log.csv:reward", cwd=folder).stdout
    assert "compared with log.csv:reward" in given
    assert "agreement of zplus with painting patches over: step 0:" in given
    wrong = lrpdyn("outliers", "--curve", "log.csv:loss", cwd=folder)
    assert (wrong.returncode, "it has step, reward" in wrong.stderr) == (2, True)
    compared = lrpdyn("compare", "lrpdyn-run", "other-rule", "--format", "json", cwd=folder)
    assert [run["rule"] for run in json.loads(compared.stdout)["runs"]] == ["zplus", "gamma:0.25"]
    side_by_side = lrpdyn("compare", "lrpdyn-run", "other-rule", cwd=folder).stdout
    assert "outliers: 0 places" in side_by_side  # steps 0 and 16 are equal: training had not begun
    assert lrpdyn("compare", "lrpdyn-run", cwd=folder).returncode == 2
    assert (
        lrpdyn("compute", ppo_folder, "obs.npy", "--regions", "none.npz", cwd=folder).returncode
        == 2
    )
