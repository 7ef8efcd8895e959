"""Many runs, of real run folders: rows, groups, and what cannot be compared."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lrpdyn
from lrpdyn.comparison.rows import ENTRIES, read_rows, seeds_of
from lrpdyn.comparison.text import RENDERERS, as_table
from lrpdyn.errors import RunError, UsageError
from lrpdyn.run.manifest import save_manifest
from lrpdyn.run.training_curve import read_curve
from tests.cli.processes import lrpdyn as lrpdyn_command


@pytest.fixture(scope="module")
def made(mlps: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: two rules on the same observations, and one of fewer steps on others."""
    folder = tmp_path_factory.mktemp("many")
    vectors = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    (folder / "log.csv").write_text("step,reward\n0,1\n20,4\n")
    options: dict[str, Any] = {"arch_args": {"activation": "tanh"}, "quiet": True, "workers": 1}
    lrpdyn.compute(mlps, vectors, out=folder / "seed_1" / "zplus", rule="zplus", baseline="random:2",
                   faithfulness="all", curve=f"{folder / 'log.csv'}:reward", **options)  # fmt: skip
    lrpdyn.compute(
        mlps, vectors, out=folder / "seed_1" / "gamma", rule="gamma", baseline="none", **options
    )
    lrpdyn.compute(mlps, vectors[:3], out=folder / "seed_2" / "zplus", limit=3, baseline="none",
                   tables="steps", **options)  # fmt: skip
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def test_a_row_says_what_the_run_says(runs: Path) -> None:
    run = lrpdyn.open_run(runs / "seed_1" / "zplus")
    row, other = read_rows([run.path, runs / "seed_2" / "zplus"])
    assert list(row) == list(other)
    assert {*(entry.name for entry in ENTRIES), "seed"} <= set(row)
    last = run.metrics[run.metrics["step"] == run.steps[-1]]
    assert row["score"] == pytest.approx(np.median(last["score"]))
    changes = run.transitions["change"].reshape(-1, 5)
    assert row["change"] == pytest.approx(np.median(changes, axis=1).sum())
    assert row["lasted"] == run.checks["dynamics"]["net_share"]
    measured = [one["abpc"]["rule"] for one in run.checks["faithfulness"]["steps"]]
    assert (row["faithfulness_first"], row["faithfulness_last"]) == (measured[0], measured[-1])
    assert row["random"] == run.checks["dependence"][-1]["random"]["median"]
    assert (row["seed"], row["steps"], row["samples"], row["broken"]) == (1, len(run.steps), 5, 0)
    curve = read_curve("runs/log.csv:reward")
    assert row["reward"] == curve.at(np.array(run.steps))[-1]
    layers = run.layers[run.layers["step"] == run.steps[-1]]["dormant_share"]
    assert row["dormant_share"] == pytest.approx(np.nanmean(layers))
    assert other["reward"] is None
    assert other["random"] is None


def test_two_rules_of_one_training_are_one_training(runs: Path) -> None:
    run = lrpdyn.open_run(runs / "seed_1" / "zplus")
    rows = read_rows([run.path, runs / "seed_1" / "gamma"])
    digest = run.manifest["checkpoints"][-1]["digest"]
    assert [row["training"] for row in rows] == 2 * [digest.removeprefix("xxh3_128-")[:12]]
    found = lrpdyn.compare([runs / "seed_1"], by="head")
    (mean,) = (one for one in found.means if one.column == "lasted")
    assert (mean.runs, mean.trainings) == (2, 1)


def test_seeds_are_read_from_paths() -> None:
    names = {"seed_3": 3, "seed-14": 14, "Seed5/zplus": 5, "ppo_s7": 7, "seed=9": 9, "steps3": None,
             "seed_1/rerun-seed_2": 2, "seeds": None, "s": None}  # fmt: skip
    assert seeds_of([Path("work") / name for name in names]) == list(names.values())
    assert seeds_of([Path("/home/s1/a"), Path("/home/s1/b")]) == [None, None]


def test_runs_that_differ_are_compared_where_it_makes_sense(runs: Path) -> None:
    found = lrpdyn.compare(["runs"], by="rule")
    means = {(mean.group, mean.column): mean for mean in found.means}
    assert means["zplus", "score"].why == "other observations"
    assert means["zplus", "change"].why == "other observations, steps"
    assert means["zplus", "lasted"].why == "other steps"
    assert means["zplus", "broken"].mean == 0
    assert means["gamma:0.25", "score"].mean == found.runs["score"][0]
    assert found.maps is None
    text = as_table(found, 5)
    assert (
        "Other observations: runs/seed_1/gamma, runs/seed_1/zplus | runs/seed_2/zplus: no mean"
        in text
    )
    assert "not compared: their observations differ" in text
    same = lrpdyn.compare(["runs/seed_1/zplus", "runs/seed_1/gamma"])
    assert same.maps is not None
    assert same.maps.pairs[0]["runs"] == [0, 1]


def test_frames_and_formats_say_the_same(runs: Path) -> None:
    found = lrpdyn.compare([runs], by="seed", metrics=["score", "rule"], sort="-score")
    assert found.runs.dtype.names == ("group", "path", "rule", "seed", "score")
    assert sorted(found.runs["score"], reverse=True) == found.runs["score"].tolist()
    frame = found.groups.to_pandas()
    assert frame["column"].tolist() == ["score", "score"]
    said = json.loads(RENDERERS["json"](found))
    assert [run["score"] for run in said["runs"]] == found.runs["score"].tolist()
    rows = list(csv.DictReader(io.StringIO(RENDERERS["csv"](found))))
    assert [float(row["score"]) for row in rows if row["row"] == "run"] == found.runs[
        "score"
    ].tolist()
    (mean,) = [row for row in rows if (row["row"], row["group"]) == ("mean", "2")]
    assert float(mean["score"]) == frame[frame["group"] == "2"]["mean"].item()
    assert "| group | of | mean |" in RENDERERS["markdown"](found)
    assert max(map(len, as_table(found, 5, 60).splitlines())) <= max(60, len(str(runs)) + 20)


def test_a_run_that_cannot_be_read_is_named_and_the_rest_compared(runs: Path) -> None:
    (runs / "seed_1" / "gamma" / "metrics.csv").write_text("step\n1\n")
    done = lrpdyn_command("compare", "runs", "--format", "json", cwd=runs.parent)
    assert done.returncode == 3, done.stderr
    assert len(json.loads(done.stdout)["runs"]) == 2
    assert "Skipped: runs/seed_1/gamma/metrics.csv: cannot be read" in " ".join(done.stderr.split())
    (runs / "seed_2" / "zplus" / "manifest.json").write_text("{}")
    with pytest.raises(RunError, match=r"1 of 3 runs can be read, .*seed_2/zplus.* \(and 1 more"):
        lrpdyn.compare(["runs"])
    with pytest.raises(UsageError, match=r"two runs or more, found 1 \(runs/seed_2/zplus\)"):
        lrpdyn.compare(["runs/seed_2"])


def test_a_run_without_later_tables_has_empty_cells(runs: Path) -> None:
    run = lrpdyn.open_run(runs / "seed_1" / "zplus")
    (run.path / "layers.csv").unlink()
    checks = {
        name: run.checks[name] for name in run.checks if name not in ("faithfulness", "dependence")
    }
    files = {name: of for name, of in run.manifest["files"].items() if name != "layers.csv"}
    save_manifest(run.path, {**run.manifest, "checks": checks, "files": files})
    row, _ = read_rows([run.path, runs / "seed_1" / "gamma"])
    assert row["dormant_share"] is row["faithfulness_last"] is row["random"] is None


def test_unknown_columns_are_named(runs: Path) -> None:
    with pytest.raises(
        UsageError, match=r"--metric scores: no such column \(did you mean score\?\)"
    ):
        lrpdyn.compare(["runs"], metrics=["scores"])
    for metric, says in (("score,change", "one column; give several as --metric score --metric change"),
                         ("", "--metric nothing: no such column")):  # fmt: skip
        with pytest.raises(UsageError, match=says):
            lrpdyn.compare(["runs"], metrics=[metric])
    for sort, says in (("chang", "--sort chang: no such column"), ("-", "--sort nothing: no such")):
        with pytest.raises(UsageError, match=says):
            lrpdyn.compare(["runs"], sort=sort)


def test_control_characters_of_a_stranger_are_shown(runs: Path) -> None:
    run = lrpdyn.open_run(runs / "seed_1" / "gamma").path.rename(runs / "seed_1" / "b\u202e")
    manifest = lrpdyn.open_run(run).manifest
    save_manifest(run, {**manifest, "architecture": {"name": "x\u202e\x1b[2J", "arguments": {}}})
    found = lrpdyn.compare([runs / "seed_1"])
    for text in (as_table(found, 5), *(render(found) for render in RENDERERS.values())):
        assert "\u202e" not in text
        assert "\x1b" not in text
    assert "x\\u202e\\x1b[2J" in as_table(found, 5)
