"""Runs that cannot be read, among others that can: tables, basins, figures and pages are of the others."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click import Command
from click.testing import CliRunner

import lrpdyn
from lrpdyn.cli.compare import command as compare
from lrpdyn.cli.plot import command as plot
from lrpdyn.cli.report import command as report
from lrpdyn.comparison.readable import of_readable
from lrpdyn.errors import RunError, UnreadableRunsError, UsageError
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.kinds import draw
from lrpdyn.figures.request import Request
from lrpdyn.page.several import several_of
from lrpdyn.run.lock import locked
from lrpdyn.run.manifest import save_manifest
from lrpdyn.run.reader import RunFolder
from tests.small_runs import UNCHECKED

MAP = "relevance/step_000000000030.npy"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four trainings, explained by one rule on the same observations."""
    folder = tmp_path_factory.mktemp("readable")
    vectors = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    for seed, name in enumerate("abcd"):
        torch.manual_seed(seed)
        (checkpoints := folder / f"{name}_checkpoints").mkdir()
        for step in (10, 20, 30):
            network = torch.nn.Sequential(
                torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)
            )
            torch.save(network.state_dict(), checkpoints / f"net_{step}.pt")
        lrpdyn.compute(checkpoints, vectors, out=folder / name, workers=1,
                       arch_args={"activation": "tanh"}, **UNCHECKED)  # fmt: skip
        shutil.rmtree(checkpoints)
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return Path("runs")


def _cut(name: str) -> Callable[[Path], None]:
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:-20])


def _lost(name: str) -> Callable[[Path], None]:
    return lambda run: (run / name).unlink()


def _newer(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "schema": 2}))


def _unreadable_journal(run: Path) -> None:
    _cut("manifest.json")(run)
    _lost("journal.jsonl")(run)
    (run / "journal.jsonl").mkdir()


DAMAGES = {
    "map cut": (_cut(MAP), f"{MAP}: cannot be read: its bytes are not those"),
    "map lost": (_lost(MAP), f"{MAP}: cannot be read: No such file or directory; the command"),
    "observations lost": (_lost("observations.npy"), "observations.npy: cannot be read: No such"),
    "table cut": (_cut("transitions.csv"), "transitions.csv: cannot be read"),
    "report lost": (_lost("outliers.json"), r"outliers.json: cannot be read \(no such file"),
    "report cut": (_cut("outliers.json"), "outliers.json: cannot be read"),
    "manifest cut": (_cut("manifest.json"), "manifest.json: is damaged"),
    "manifest lost": (_lost("manifest.json"), "but no manifest.json, .*: copy that back"),
    "newer manifest": (_newer, "manifest.json: schema 2, this version reads 1; install a newer"),
    "unreadable journal": (_unreadable_journal, "journal.jsonl: cannot be read: Is a directory; m"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_in_the_first_run_is_named_and_the_others_are_used(
    runs: Path, name: str
) -> None:
    damage, says = DAMAGES[name]
    damage(runs / "a")
    for arguments in (
        ["compare"],
        ["plot", "--kind", "runs", "-o", "a.png"],
        ["report", "-o", "a"],
    ):
        command: Command = {"compare": compare, "plot": plot, "report": report}[arguments[0]]
        done = CliRunner().invoke(command, ["runs", *arguments[1:]], standalone_mode=False)
        skipped = [line for line in done.stderr.splitlines() if not line.startswith("Note")]
        assert done.exception is None
        assert done.return_value == 3
        assert len(skipped) == 1
        assert skipped[0].startswith("Skipped: runs/a")
        assert re.search(says, skipped[0])
    assert "3 runs by rule" in Path("a.txt").read_text()


def test_tables_pairs_and_basins_are_those_of_the_others_alone(runs: Path) -> None:
    expected = lrpdyn.compare([runs / "b", runs / "c", runs / "d"])
    _cut(MAP)(runs / "a")
    _cut("dynamics.npy")(runs / "a")
    found = lrpdyn.compare(["runs"])
    assert found.rows == expected.rows
    assert found.maps == expected.maps
    assert found.basins == expected.basins != []
    assert len(found.skipped) == 1


def test_all_damaged_runs_are_named_each_once(runs: Path) -> None:
    _cut(MAP)(runs / "a")
    _lost("metrics.csv")(runs / "b")
    folders = [runs / name for name in "abcd"]
    page, skipped = of_readable(folders, several_of, "report")
    assert [run.path for run in page.runs] == ["c", "d"]
    assert [*skipped] == [runs / "b", runs / "a"]
    _newer(runs / "c")
    with pytest.raises(
        RunError, match=r"report: 1 of 4 runs can be read, expected two or more; .* \(and 2"
    ):
        of_readable(folders, several_of, "report")


def _pending(run: Path) -> None:
    manifest = RunFolder.open(run).manifest
    manifest["checkpoints"][-1]["status"] = "pending"
    save_manifest(run, manifest)


def test_a_run_that_is_being_written_is_named_with_its_process(runs: Path) -> None:
    _pending(runs / "a")
    (says,) = lrpdyn.compare(["runs"]).skipped
    assert says.endswith("the run is not finished; go on with the command that began it")
    with locked(runs / "a"):
        (says,) = lrpdyn.compare(["runs"]).skipped
    assert re.search(rf"not finished; process {os.getpid()} on .* right now: try again when", says)


def test_runs_whose_maps_cannot_be_next_to_each_other_are_refused(runs: Path) -> None:
    run = lrpdyn.open_run(runs / "b")
    save_manifest(run.path, {**run.manifest, "stored": {"keep": "none", "dtype": "float32"}})
    kept = "runs/b keeps no maps .*; leave it out, or compute it with --keep pixels into another"
    with pytest.raises(UsageError, match=f"report: {kept}"):
        of_readable([runs / "a", runs / "b"], several_of, "report")
    done = CliRunner().invoke(plot, ["runs", "--kind", "runs", "-o", "a.png"])
    assert re.search(f"--kind runs: {kept}", str(done.exception))
    found = lrpdyn.compare(["runs"])
    assert [len(one.runs) for one in found.basins] == [3]
    assert found.no_maps == "No basins of runs/b: no maps are kept (--keep none)."


def test_a_damaged_run_alone_ends_with_its_error(runs: Path) -> None:
    _cut(MAP)(runs / "a")
    opened = [RunFolder.open(runs / name) for name in "ba"]
    request = Request(samples=[0], look=Look(dpi=60), out=Path("a.png"))
    with pytest.raises(UnreadableRunsError, match="its bytes are not those") as error:
        draw(opened, "runs", request)
    assert [*error.value.reasons] == [runs / "a"]

    def never_made(given: object) -> None:
        raise error.value

    with pytest.raises(UnreadableRunsError):
        of_readable([runs / "c", runs / "b"], never_made, "plot")
