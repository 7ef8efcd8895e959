"""Which run folders are meant by what is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrpdyn.comparison.found import find_runs
from lrpdyn.errors import RunError, UsageError


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("seed_10/zplus", "seed_2/zplus", "seed_2/gamma", "other/deep/er"):
        folder = tmp_path / "runs" / name
        (folder / "relevance").mkdir(parents=True)
        (folder / "manifest.json").touch()
        (folder / "journal.jsonl").touch()
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "runs" / "notes" / "manifest.json").touch()  # of some other program
    (tmp_path / "runs" / "seed_2" / "read me.txt").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_stand_for_the_runs_below_them(runs: Path) -> None:
    assert [str(run) for run in find_runs(["runs"])] == [
        "runs/other/deep/er", "runs/seed_2/gamma", "runs/seed_2/zplus", "runs/seed_10/zplus",
    ]  # fmt: skip
    assert find_runs(["runs/seed_10/zplus", "runs/seed_10"]) == [Path("runs/seed_10/zplus")]


def test_a_run_that_lost_a_file_is_found_to_be_named(runs: Path) -> None:
    (runs / "runs" / "seed_2" / "zplus" / "journal.jsonl").unlink()
    (runs / "runs" / "seed_2" / "gamma" / "manifest.json").unlink()
    assert len(find_runs(["runs"])) == 4
    assert find_runs(["runs/seed_2/gamma"]) == [Path("runs/seed_2/gamma")]


def test_patterns_match_runs_and_folders_of_them(runs: Path) -> None:
    found = [str(run) for run in find_runs(["runs/seed_*/zplus", "runs/seed_2/*"])]
    assert found == ["runs/seed_2/zplus", "runs/seed_10/zplus", "runs/seed_2/gamma"]
    (runs / "a[1]").mkdir()
    (runs / "runs" / "seed_2" / "gamma").rename(runs / "a[1]" / "run")
    assert find_runs(["a[1]"]) == [Path("a[1]/run")]


def test_what_holds_no_run_is_refused(runs: Path) -> None:
    with pytest.raises(UsageError, match="runs/none_\\*: no folder matches"):
        find_runs(["runs/none_*"])
    with pytest.raises(RunError, match="runs/seed_3: holds no run of lrpdyn"):
        find_runs(["runs/seed_3"])
    with pytest.raises(RunError, match="runs/seed_2/gamma/relevance: holds no run"):
        find_runs(["runs/seed_2/gamma/relevance"])
    with pytest.raises(UsageError, match="expected run folders"):
        find_runs([])
