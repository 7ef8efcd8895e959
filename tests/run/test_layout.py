"""Where files of a run lie, and that no file but those is deleted."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lrpdyn.errors import RunError
from lrpdyn.run.layout import (
    DamagedMapsError,
    check_maps,
    clear_run,
    delete,
    leftovers,
    nearest_folder,
    relevance_path,
    working_path,
)
from tests.pipeline.test_compute import Vectors, mlp_run


def test_maps_are_named_in_the_order_of_their_steps(tmp_path: Path) -> None:
    steps = (2, 10, 999_999, 1_000_000, 10**11)
    names = [relevance_path(tmp_path, step).relative_to(tmp_path).as_posix() for step in steps]
    assert names[0] == "relevance/step_000000000002.npy"
    assert names == sorted(names)
    assert working_path(tmp_path, 2) == tmp_path / ".maps" / "step_000000000002.npy"


def test_the_nearest_folder_is_one_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("")
    assert nearest_folder(tmp_path / "there") == tmp_path / "there"
    assert nearest_folder(tmp_path / "there" / "a" / "b") == tmp_path / "there"
    assert nearest_folder(tmp_path / "file" / "run") == tmp_path


def test_maps_are_checked_by_their_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"maps")
    check_maps(path, hashlib.sha256(b"maps").hexdigest(), 7)
    path.write_bytes(b"mops")
    check_maps(path, None, 7)
    with pytest.raises(DamagedMapsError, match=r"bytes are not those.*--recompute 7") as damaged:
        check_maps(path, hashlib.sha256(b"maps").hexdigest(), 7)
    assert (damaged.value.path, damaged.value.step) == (path, 7)
    path.unlink()
    with pytest.raises(DamagedMapsError, match="No such file"):
        check_maps(path, hashlib.sha256(b"maps").hexdigest(), 7)


def test_what_lrpdyn_wrote_is_deleted_and_nothing_else(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1).path
    mine = ["notes.txt", "relevance/step_1.npy", "relevance/mine.npy", "figures/mine.png", ".a.tmp"]
    killed = [".a.csv.0123abcd.tmp", "figures/.b.png.0123abcd.tmp"]
    theirs = [*killed, "report.html", "figures/drawn.svg"]
    for name in (*mine, *theirs):
        (run / name).write_text(name)
    assert sorted(leftovers(run)) == [run / name for name in killed]
    clear_run(run, [run / "figures/drawn.svg"])
    left = {p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()}
    assert left - {".lock"} == set(mine)


def test_what_cannot_be_deleted_is_told(tmp_path: Path) -> None:
    delete(tmp_path / "none")
    (tmp_path / "metrics.csv").mkdir()
    with pytest.raises(RunError, match=r"metrics\.csv: cannot be written"):
        delete(tmp_path / "metrics.csv")
