"""A finished run with a table of faithfulness that is made up."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import lrpdyn
from lrpdyn.dynamics.columns import names_of
from lrpdyn.run.layout import FAITHFULNESS
from lrpdyn.run.manifest import read_manifest, save_manifest
from lrpdyn.run.verify import replace_result

#: Faithfulness of each map at the last step; before, it grows in proportion to the step.
LAST = {"rule": 0.5, "rule_absolute": 0.45, "gradient_x_input": 0.3, "edges": 0.2, "difference": 0.1,
        "random": 0.0}  # fmt: skip


def by_step(steps: Sequence[int], **of_rule: float | None) -> dict[str, Any]:
    """Return the check of a run measured at `steps`; `rule` is that at the last one, or None."""
    last = {**LAST, **of_rule}
    return {
        "samples": list(range(5)),
        "patches": 49,
        "fill": 0.0,
        "steps": [
            {
                "step": step,
                "range": 1.0,
                "abpc": {
                    name: None if value is None else value * (place + 1) / len(steps)
                    for name, value in last.items()
                },
                "random_band": {"low": -0.05, "high": 0.05},
                "abpc_policy": {},
            }
            for place, step in enumerate(steps)
        ],
    }


def with_faithfulness(folder: Path, checked: Mapping[str, Any] | None = None) -> lrpdyn.Run:
    """Write a table into a run, of five samples around the medians of `checked`, and return the run."""
    checked = checked or by_step(lrpdyn.open_run(folder).steps)
    spread = np.linspace(-0.1, 0.1, 5)
    with open(folder / FAITHFULNESS, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(names_of("map"))
        for one in checked["steps"]:
            for name, median in one["abpc"].items():
                for sample, away in enumerate(spread):
                    value = "" if median is None else median + away
                    rows.writerow((one["step"], sample, name, *["", "", value] * 2))
    manifest = read_manifest(folder)
    checks = {**manifest["checks"], "faithfulness": checked}
    save_manifest(folder, {**manifest, "checks": checks})
    replace_result(folder, read_manifest(folder), FAITHFULNESS)
    return lrpdyn.open_run(folder)
