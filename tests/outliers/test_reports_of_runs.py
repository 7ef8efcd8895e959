"""From checkpoints to the report: regions, curve, evidence, and the same bytes however it is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special

import lrpdyn
from lrpdyn.errors import CheckpointError
from lrpdyn.observations.regions import read_regions, shares

Vectors = NDArray[np.float32]


def run(folder: Path, vectors: Vectors, out: Path, **options: Any) -> lrpdyn.Run:
    return lrpdyn.compute(
        folder, vectors, out=out, arch_args={"activation": "tanh"}, quiet=True, **options
    )


def results(found: lrpdyn.Run) -> dict[str, bytes]:
    files = (path for path in sorted(found.path.rglob("*")) if path.is_file())
    skipped = ("manifest.json", "journal.jsonl")
    return {str(p.relative_to(found.path)): p.read_bytes() for p in files if p.name not in skipped}


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    path = tmp_path / "masks.npz"
    np.savez(path, left=np.array([1, 1, 1, 0, 0, 0]), own=np.eye(5, 6))
    return path


def test_the_tables_hold_what_they_say(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, masks: Path
) -> None:
    found = run(mlp_folder, vectors, tmp_path / "run", regions=masks, fill=0.0)
    metrics, transitions = found.metrics, found.transitions
    regions = read_regions(masks, vectors.shape)
    for step in found.steps:
        own = metrics[metrics["step"] == step]
        expected = shares(found.relevance[step], regions)
        np.testing.assert_allclose(own["share_left"], expected[0])
        np.testing.assert_allclose(own["share_per_area_own"], expected[1] * 6, rtol=1e-12)
        weights = torch.load(mlp_folder / f"net_{step}.pt", weights_only=True)
        painted = vectors.copy()
        painted[:, :3] = 0
        outputs = []
        for values in (vectors, painted):
            hidden = np.tanh(values @ weights["0.weight"].numpy().T + weights["0.bias"].numpy())
            outputs.append(hidden @ weights["2.weight"].numpy().T + weights["2.bias"].numpy())
        one, other = (special.softmax(o.astype(float), axis=1) for o in outputs)
        middle = (one + other) / 2
        divergence = sum((p * np.log(p / middle)).sum(axis=1) for p in (one, other)) / 2
        np.testing.assert_allclose(own["effect_left"], np.sqrt(divergence), rtol=1e-3, atol=1e-5)
    assert np.isfinite(metrics["share_per_random_left"]).all()
    first, last = (metrics["entropy_random"][metrics["step"] == step] for step in (2, 30))
    np.testing.assert_array_equal(first, last)
    assert ((first > 0) & (first < np.log(6))).all()
    assert not metrics["from_step_zero"].any()
    gap = transitions["to_step"] - transitions["from_step"]
    np.testing.assert_allclose(transitions["change_per_unit"], transitions["change"] / gap)
    np.testing.assert_allclose(transitions["scale_share"] + transitions["shape_share"], 1)
    assert (transitions["prediction_change"] <= 2).all()
    assert (transitions["prediction_change"] > 0).all()
    of_regions = found.outliers["regions"]
    assert of_regions["names"] == ["left", "own"]
    assert of_regions["steps"] == list(found.steps)


def test_regions_are_no_part_of_the_question(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, masks: Path
) -> None:
    plain = run(mlp_folder, vectors, tmp_path / "run")
    assert plain.outliers["regions"] is None
    assert len(plain.outliers["agreement"]["steps"]) == 3
    stamps = {p: p.stat().st_mtime_ns for p in (plain.path / "relevance").iterdir()}
    with_regions = run(mlp_folder, vectors, tmp_path / "run", regions=masks)
    assert "effect_left" in (with_regions.metrics.dtype.names or ())
    assert stamps == {p: p.stat().st_mtime_ns for p in (plain.path / "relevance").iterdir()}
    again = run(mlp_folder, vectors, tmp_path / "again", regions=masks)
    assert results(again) == results(with_regions)


def test_a_checkpoint_that_appears_in_between_changes_its_neighbours_evidence(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    aside = mlp_folder / "net_10.pt"
    aside.rename(tmp_path / "net_10.pt")
    run(mlp_folder, vectors, tmp_path / "run")
    (tmp_path / "net_10.pt").rename(aside)
    whole = run(mlp_folder, vectors, tmp_path / "whole")
    assert results(run(mlp_folder, vectors, tmp_path / "run")) == results(whole)


def test_a_curve_is_kept_in_the_report(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    log = tmp_path / "progress.csv"
    log.write_text("time/total_timesteps,reward\n" + "".join(f"{s},{s * s}\n" for s in range(40)))
    found = run(mlp_folder, vectors, tmp_path / "run", curve=f"{log}:reward")
    section = found.outliers["curve"]
    assert section["source"] == "progress.csv:reward"
    assert {one["series"] for one in section["series"]} >= {"change", "entropy"}
    assert all(one["p"] is None for one in section["series"])
    # A finished run is held against another curve without being computed again.
    stamp = (found.path / "metrics.csv").stat().st_mtime_ns
    other = tmp_path / "other.csv"
    other.write_text("step,loss\n1,2\n30,1\n")
    again = run(mlp_folder, vectors, tmp_path / "run", curve=f"{other}:loss")
    assert again.outliers["curve"]["source"] == "other.csv:loss"
    assert (found.path / "metrics.csv").stat().st_mtime_ns == stamp


def test_a_run_with_one_finite_step_has_a_report_and_one_with_none_is_refused(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, masks: Path
) -> None:
    series = sorted(mlp_folder.iterdir())
    for path in series[1:]:
        weights = torch.load(path, weights_only=True)
        weights["2.weight"][0, 0] = float("inf")
        torch.save(weights, path)
    for name, options in (("plain", {}), ("regions", {"regions": masks})):
        found = run(mlp_folder, vectors, tmp_path / name, **options)
        told = [entry["causes"][0] for entry in found.outliers["pathologies"]]
        assert [cause["cause"] for cause in told] == ["not_finite"] * 4
        assert "the weights of 2" in told[0]["evidence"]
        assert found.outliers["cells"] == []
    series[0].unlink()
    with pytest.raises(CheckpointError, match=r"none of 4 checkpoints is finite: .*weights of 2"):
        run(mlp_folder, vectors, tmp_path / "none")


def test_vanished_relevance_is_told_by_layer_and_rule(vectors: Vectors, tmp_path: Path) -> None:
    folder = tmp_path / "ckpts"
    folder.mkdir()
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    for step in range(4):
        state = {name: weights.clone() for name, weights in network.state_dict().items()}
        if step == 2:
            state["2.weight"][0] = -state["2.weight"][0].abs()
            state["2.bias"][0] = -1
        torch.save(state, folder / f"net_{step}.pt")
        with torch.no_grad():
            for weights in network.parameters():
                weights += 0.01 * torch.randn_like(weights)
    found = lrpdyn.compute(folder, vectors, out=tmp_path / "run", target=0, contrast="none",
                           arch_args={"activation": "relu"}, quiet=True)  # fmt: skip
    wrong = found.outliers["pathologies"]
    assert {entry["where"]["step"] for entry in wrong} == {2}
    assert all("2 absorbed it, under zplus" in e["causes"][0]["evidence"] for e in wrong)
    assert json.loads((found.path / "manifest.json").read_text())["checks"]["dynamics"]
