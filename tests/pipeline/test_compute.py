"""The run folder: whole, resumable, the same bytes, and honest about what went wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.errors import (
    ArchitectureError,
    CheckpointError,
    LrpdynError,
    ObservationError,
    RunError,
    UsageError,
)
from lrpdyn.pipeline import blocks

TANH = {"activation": "tanh"}
Vectors = NDArray[np.float32]


def contents(run: Path) -> dict[str, bytes]:
    """Return the results, which are promised to be the same bytes."""
    files = (path for path in sorted(run.rglob("*")) if path.is_file())
    skipped = ("manifest.json", "journal.jsonl")
    return {str(p.relative_to(run)): p.read_bytes() for p in files if p.name not in skipped}


def mlp_run(folder: Path, vectors: Vectors, out: Path, **options: Any) -> lrpdyn.Run:
    return lrpdyn.compute(folder, vectors, out=out, arch_args=TANH, quiet=True, **options)


def test_run_folder_is_as_promised(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", rule="gamma:0.5")
    assert set(contents(run.path)) == {
        "observations.npy", "dynamics.npy", "net_change.npy", "mean_relevance.npy",
        "directness.npy", "relative_dynamics.npy", "pixel_entropy.npy", "metrics.csv",
        "transitions.csv", "layers.csv", "faithfulness.csv", "features.csv", "outliers.json",
        "outliers.csv",
        "figures/dynamics.png",
        "figures/dynamics.txt",
        *(f"relevance/step_{step:012d}.npy" for step in (2, 4, 10, 20, 30)),
    }  # fmt: skip
    assert run.steps == (2, 4, 10, 20, 30)
    assert run.relevance[10].shape == vectors.shape
    assert run.relevance[10].dtype == run.dynamics.dtype == np.float32
    manifest = json.loads((run.path / "manifest.json").read_text())
    assert manifest["rule"] == {
        "name": "gamma",
        "parameters": {"gamma": 0.5},
        "layers": manifest["rule"]["layers"],
        "notes": [],
    }
    assert sorted(manifest["rule"]["layers"].values()) == [
        "gamma:0.5",
        "gamma:0.5",
        "pass",
        "rearrange",
    ]
    assert {c["status"] for c in manifest["checkpoints"]} == {"done"}
    assert all(c["sha256"] is None for c in manifest["checkpoints"])
    assert all(c["digest"].startswith("xxh3_128-") for c in manifest["checkpoints"])
    assert run.metrics.dtype.names == (
        "step", "sample", "target", "score", "argmax", "relevance_sum", "relevance_l1", "entropy",
        "distance_from_first", "distance_from_first_l1", "from_step_zero", "support",
        "entropy_random", "faithfulness", "gini", "top_kept", "center_row", "center_column",
        "cosine_to_last", "sample_name", "target_name", "argmax_name",
    )  # fmt: skip
    assert run.transitions.dtype.names is not None
    assert run.transitions.dtype.names[:7] == (
        "from_step", "to_step", "sample", "change", "score_change", "scale_share", "argmax_changed",
    )  # fmt: skip
    assert len(run.metrics.to_pandas()) == 25
    assert (run.metrics["score"] >= 0).all()
    report = run.outliers
    assert report["schema"] == 1
    assert len(report["cells"]) == 20
    strongest = report["cells"][0]
    assert strongest["value"] == run.transitions["change"].max()
    assert {"where", "value", "fence_mild", "fence_far", "severity", "causes"} < set(strongest)


def test_asked_again_and_gone_on_with(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contents(mlp_run(mlp_folder, vectors, tmp_path / "whole").path)
    explain = blocks.explain_parts
    calls = []

    def stops(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return explain(*arguments)

    monkeypatch.setattr(blocks, "explain_parts", stops)
    monkeypatch.setattr(blocks, "LONGEST", 0.0)  # every step is in the journal before the next
    with pytest.raises(KeyboardInterrupt):
        mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1)
    with pytest.raises(RunError, match="not finished"):
        lrpdyn.open_run(tmp_path / "run")
    with (tmp_path / "run" / "journal.jsonl").open("a") as file:
        file.write("deadbeef {torn")
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1)
    assert len(calls) == 6
    assert contents(run.path) == whole
    mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1)
    assert len(calls) == 6


@pytest.mark.parametrize("options", [{}, {"target": "modal", "rule": "gamma"}])
def test_any_number_of_workers_gives_the_same_bytes(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, options: dict[str, Any]
) -> None:
    torch.save({"not": "weights"}, mlp_folder / "net_7.pt")
    one = mlp_run(mlp_folder, vectors, tmp_path / "1", workers=1, skip_bad=True, **options)
    for workers in (2, 3):
        run = mlp_run(
            mlp_folder, vectors, tmp_path / str(workers), workers=workers, skip_bad=True, **options
        )
        assert contents(run.path) == contents(one.path)
    assert [entry["status"] for entry in one.manifest["checkpoints"]].count("bad") == 1


@pytest.mark.slow
def test_killed_at_any_moment_gives_the_same_bytes(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    np.save(tmp_path / "obs.npy", images)
    whole = contents(lrpdyn.compute(ppo_folder, tmp_path / "obs.npy", out=tmp_path / "whole").path)
    command = [sys.executable, "-m", "lrpdyn", "compute", str(ppo_folder), str(tmp_path / "obs.npy"),
               "-q", "-o", str(tmp_path / "run")]  # fmt: skip
    killed = []
    for explained in (1, 3):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while len(list((tmp_path / "run" / "relevance").glob("step_*"))) < explained:
                assert process.poll() is None, "it ended before it could be killed"
                time.sleep(0.001)
            process.kill()
        killed.append(process.returncode)
    assert killed == 2 * [-signal.SIGKILL]
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert "pending" in {entry["status"] for entry in manifest["checkpoints"]}
    assert subprocess.run(command, check=False).returncode == 0
    assert contents(tmp_path / "run") == whole


def test_later_checkpoints_go_on(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    late = mlp_folder / "net_30.pt"
    late.rename(tmp_path / "aside")
    assert mlp_run(mlp_folder, vectors, tmp_path / "run").steps == (2, 4, 10, 20)
    (tmp_path / "aside").rename(late)
    run = mlp_run(mlp_folder, vectors, tmp_path / "run")
    assert run.steps == (2, 4, 10, 20, 30)
    assert contents(run.path) == contents(mlp_run(mlp_folder, vectors, tmp_path / "whole").path)


def test_another_question_is_refused(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    out = tmp_path / "run"
    mlp_run(mlp_folder, vectors, out)
    with pytest.raises(RunError, match=r"rule.*zplus.*epsilon.*--overwrite.*-o"):
        mlp_run(mlp_folder, vectors, out, rule="epsilon")
    with pytest.raises(RunError, match="observations"):
        mlp_run(mlp_folder, vectors[:3], out)
    np.save(tmp_path / "obs.npy", vectors)
    again = {"out": tmp_path / "file", "arch_args": TANH, "quiet": True}
    lrpdyn.compute(mlp_folder, tmp_path / "obs.npy", **again)
    np.save(tmp_path / "obs.npy", vectors + 1)
    with pytest.raises(RunError, match=r"observations \(.*changed: .*obs\.npy.*--overwrite"):
        lrpdyn.compute(mlp_folder, tmp_path / "obs.npy", **again)
    (out / "mine.txt").write_text("keep me")
    (out / "figures" / "mine.png").write_text("and me")
    run = mlp_run(mlp_folder, vectors, out, rule="epsilon", overwrite=True)
    assert run.manifest["rule"]["name"] == "epsilon"
    assert (out / "mine.txt").read_text() == "keep me"
    assert (out / "figures" / "mine.png").read_text() == "and me"


def test_changed_checkpoint_is_refused(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    mlp_run(mlp_folder, vectors, tmp_path / "run")
    weights = torch.load(mlp_folder / "net_10.pt", weights_only=True)
    torch.save({key: value + 1 for key, value in weights.items()}, mlp_folder / "net_10.pt")
    with pytest.raises(RunError, match=r"net_10.*changed"):
        mlp_run(mlp_folder, vectors, tmp_path / "run")


def test_bad_checkpoint_stops_or_is_skipped_and_bridged(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    content = (mlp_folder / "net_10.pt").read_bytes()
    (mlp_folder / "net_10.pt").write_bytes(content[:700])
    with pytest.raises(CheckpointError, match=r"1 of 5 .*net_10.pt.*--skip-bad"):
        mlp_run(mlp_folder, vectors, tmp_path / "run")
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", skip_bad=True)
    assert run.steps == (2, 4, 20, 30)
    statuses = {c["step"]: c["status"] for c in run.manifest["checkpoints"]}
    assert statuses == {2: "done", 4: "done", 10: "bad", 20: "done", 30: "done"}
    gaps = run.transitions[run.transitions["step_gap"]]
    assert set(zip(gaps["from_step"].tolist(), gaps["to_step"].tolist(), strict=True)) == {(4, 20)}


def test_wrong_shape_under_way_keeps_what_is_done(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    torch.save(torch.nn.Linear(6, 3).state_dict(), mlp_folder / "net_20.pt")
    with pytest.raises(LrpdynError, match=r"net_20.pt.*0.weight expected \(8, 6\)"):
        mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1)
    assert len(list((tmp_path / "run" / "relevance").glob("*.npy"))) == 3


def test_not_finite_step_is_marked_and_left_out(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    weights = torch.load(mlp_folder / "net_10.pt", weights_only=True)
    weights["0.weight"][0, 0] = float("nan")
    torch.save(weights, mlp_folder / "net_10.pt")
    run = mlp_run(mlp_folder, vectors, tmp_path / "run")
    assert {c["step"]: c["status"] for c in run.manifest["checkpoints"]}[10] == "not_finite"
    assert set(run.transitions["to_step"].tolist()) == {4, 30}
    assert np.isfinite(run.dynamics).all()
    assert run.outliers["pathologies"][0]["causes"][0]["cause"] == "not_finite"


def test_vanished_relevance_is_found(vectors: Vectors, tmp_path: Path) -> None:
    folder = tmp_path / "ckpts"
    folder.mkdir()
    for step in (1, 2, 3):
        layer = torch.nn.Linear(6, 1)
        layer.weight.data.fill_(1.0 if step != 2 else -1.0)
        layer.bias.data.fill_(0.0 if step != 2 else -2.0)
        torch.save(
            {"state_dict": torch.nn.Sequential(layer).state_dict()}, folder / f"net_{step}.pt"
        )
    run = lrpdyn.compute(
        folder, np.abs(vectors), out=tmp_path / "run", arch_args=TANH, contrast="none", quiet=True
    )
    assert run.manifest["checks"]["vanished"] == 5
    assert run.manifest["checks"]["negative_scores"] == 5
    found = run.outliers["pathologies"]
    assert {entry["where"]["step"] for entry in found} == {2}
    assert {entry["causes"][0]["cause"] for entry in found} == {"vanished_relevance"}
    causes = {cause["cause"] for cause in run.outliers["cells"][0]["causes"]}
    assert {"vanished_relevance", "score_crosses_zero"} <= causes


def test_refusals(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "run"
    for folder, observations, options, kind, says in [
        (empty, vectors, {}, CheckpointError, "found 0 checkpoints"),
        (mlp_folder, vectors[:, :4], {}, ObservationError, "6 entries"),
        (mlp_folder, vectors, {"rule": "zpluss"}, UsageError, "did you mean zplus"),
        (mlp_folder, vectors, {"target": "9"}, UsageError, "units from 0 to 2"),
        (mlp_folder, vectors, {"head": "q"}, UsageError, "heads are logits"),
        (mlp_folder, vectors, {"device": "tpu"}, UsageError, "--device tpu"),
        (mlp_folder, vectors, {"pattern": "net_2.pt"}, CheckpointError, "found 1 checkpoint,"),
    ]:
        with pytest.raises(kind, match=says):
            mlp_run(folder, observations, out, **options)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(RunError, match="holds no run"):
            mlp_run(mlp_folder, vectors, tmp_path / "full", overwrite=overwrite)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="is a file"):
        mlp_run(mlp_folder, vectors, tmp_path / "file")
    with pytest.raises(RunError, match="cannot be written"):
        mlp_run(mlp_folder, vectors, tmp_path / "file" / "below")


@pytest.mark.parametrize("given", [{}, {"activation": "relu"}])
def test_files_of_two_networks_are_no_run(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, given: dict[str, str]
) -> None:
    for number, path in enumerate(sorted(mlp_folder.iterdir())):
        said = {"activation": "tanh" if number < 4 else "relu"}
        torch.save({"state_dict": torch.load(path), "hyper_parameters": said}, path)
    options: Any = {"arch_args": given, "baseline": "none", "workers": 2, "out": tmp_path / "run"}
    if given:
        run = lrpdyn.compute(mlp_folder, vectors, **options)
        assert run.manifest["architecture"]["arguments"]["activation"] == "relu"
        return
    with pytest.raises(ArchitectureError, match=r"its activation is relu, .* is tanh: .*--pattern"):
        lrpdyn.compute(mlp_folder, vectors, **options)


def test_observations_that_may_be_wrong_are_said_and_recorded(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doubled = np.concatenate([vectors, vectors[1:2]])
    run = lrpdyn.compute(mlp_folder, doubled, out=tmp_path / "run", arch_args=TANH)
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith(
        "Observations: 2 of 6 may be wrong: samples 1 and 5 are equal; to leave them out: --samples 0-4"
    )
    assert run.manifest["observations"]["doubtful"] == [
        {"what": "equal", "samples": [1, 5], "words": "samples 1 and 5 are equal"}
    ]
    ordinary = mlp_run(mlp_folder, vectors, tmp_path / "ordinary")
    assert ordinary.manifest["observations"]["doubtful"] == []
