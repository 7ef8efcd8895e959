"""A run as CSV, read by the standard library."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

import lrpdyn
from lrpdyn.exports.formats import export


def test_csv(flat_run: lrpdyn.Run, tmp_path: Path) -> None:
    out = export(flat_run, "csv", tmp_path / "csv")
    for name in ("metrics.csv", "transitions.csv", "layers.csv", "outliers.csv"):
        assert (out / name).read_bytes() == (flat_run.path / name).read_bytes()
    with (out / "relevance" / "step_000000000004.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["sample", "feature", "relevance"]
    values = np.zeros((5, 6), dtype=np.float32)
    for sample, feature, value in rows:
        values[int(sample), int(feature)] = np.float32(value)
    assert np.array_equal(values, flat_run.relevance[4])
    assert len((out / "dynamics.csv").read_text().splitlines()) == 1 + 5 * 6
