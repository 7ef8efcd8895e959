"""Runs side by side: what stands in all of them, and what in one alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.comparison.comparison import compare, comparison_lines
from lrpdyn.errors import UsageError

Vectors = NDArray[np.float32]


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Thirty checkpoints of a calm walk, but for one whose weights jumped."""
    folder = tmp_path / "ckpts"
    folder.mkdir()
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    for step in range(30):
        with torch.no_grad():
            for weights in network.parameters():
                weights += 0.01 * torch.randn_like(weights)
        state = {name: weights.clone() for name, weights in network.state_dict().items()}
        if step == 15:
            state["0.weight"] += torch.randn_like(state["0.weight"])
        torch.save(state, folder / f"net_{step}.pt")
    return folder


def run(series: Path, vectors: Vectors, out: Path, **options: Any) -> lrpdyn.Run:
    return lrpdyn.compute(
        series, vectors, out=out, arch_args={"activation": "tanh"}, quiet=True, baseline="none",
        **options,
    )  # fmt: skip


def test_what_stands_under_every_rule_is_told(
    series: Path, vectors: Vectors, tmp_path: Path
) -> None:
    runs = [
        run(series, vectors, tmp_path / rule, rule=rule) for rule in ("epsilon", "gamma+attnlrp")
    ]
    found = compare(runs)
    real = [
        one
        for one in found.outliers
        if one["verdict"].startswith("in all") and one["kind"] == "steps"
    ]
    assert {(one["where"]["from_step"], one["where"]["to_step"]) for one in real} >= {
        (14, 15), (15, 16),
    }  # fmt: skip
    assert all("weight_jump" in one["causes"] for one in real)
    (pair,) = found.pairs
    maps = [r.dynamics.astype(float) for r in runs]
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(*maps, strict=True)]
    assert pair["cosine"] == pytest.approx(np.median(cosines))
    assert pair["cells"] == 29 * 5
    table = "\n".join(comparison_lines(found, 2, 3))
    assert "A-B" in table
    assert "in all runs" in table


def test_a_run_with_other_steps_is_compared_where_both_have_them(
    series: Path, vectors: Vectors, tmp_path: Path
) -> None:
    fewer = tmp_path / "fewer"
    shutil.copytree(series, fewer)
    for step in range(20, 30):
        (fewer / f"net_{step}.pt").unlink()
    runs = [run(series, vectors, tmp_path / "all"), run(fewer, vectors, tmp_path / "few")]
    # What is flagged at a step that only one run has says nothing about the other.
    report = runs[0].outliers
    report["steps"][0] |= {"where": {"from_step": 25, "to_step": 26}, "severity": "far"}
    report["pathologies"] = [{**report["steps"][1], "where": {"step": 28}}]
    found = compare(runs)
    assert found.pairs[0]["cells"] == 19 * 5
    assert found.pairs[0]["change_rank"] == pytest.approx(1)
    late = [one for one in found.outliers if max(one["where"].values()) > 20]
    assert len(late) >= 2
    assert all(one["severity"][1] is None for one in late)
    assert all(one["verdict"] == "only one run has such a place" for one in late)


@pytest.mark.slow
def test_other_samples_are_refused(series: Path, vectors: Vectors, tmp_path: Path) -> None:
    one = run(series, vectors, tmp_path / "one")
    other = run(series, vectors[:3], tmp_path / "other")
    with pytest.raises(UsageError, match=r"other samples \(\(5, 6\) and \(3, 6\)"):
        compare([one, other])
    with pytest.raises(UsageError, match="two runs or more"):
        compare([one])
