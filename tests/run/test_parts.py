"""Parts of a run folder that a stranger made links, FIFOs or devices are refused by name."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import lrpdyn
from lrpdyn.errors import RunError
from lrpdyn.figures.kinds import draw
from lrpdyn.figures.request import Request
from lrpdyn.page.report import write_report
from lrpdyn.run.lock import locked
from lrpdyn.run.parts import check_parts
from lrpdyn.run.verify import verify
from tests.pipeline.test_compute import Vectors, contents, mlp_run

LINKED = (".lock.json", "journal.jsonl", "shard", "metrics.csv", "relevance", "figures", "report.html",
          "relevance/step_000000000004.npy", "manifest.json", "figures/dynamics.png", ".maps")  # fmt: skip


@pytest.fixture
def run(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> lrpdyn.Run:
    return mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1)


@pytest.fixture
def outside(run: lrpdyn.Run, tmp_path: Path) -> Path:
    """A folder with what a stranger would like to have overwritten, deleted or shown."""
    outside = tmp_path / "outside"
    shutil.copytree(run.path, outside)
    for name in ("report.html", ".lock.json", "shard", ".maps"):
        path = outside / name
        path.write_text("mine") if "." in name[1:] else path.mkdir()
    return outside


def test_what_is_linked_is_neither_written_nor_read(
    run: lrpdyn.Run, outside: Path, mlp_folder: Path, vectors: Vectors
) -> None:
    before = contents(outside)
    for name in LINKED:
        path, aside = run.path / name, run.path.parent / "aside"
        if path.exists():
            path.rename(aside)
        path.symlink_to(outside / name)
        for options in ({}, {"overwrite": True}):
            with pytest.raises(RunError, match=rf"{name}: is a link, and nothing is written"):
                mlp_run(mlp_folder, vectors, run.path, workers=1, rule="gamma", **options)
        uses: list[Callable[[], object]] = [
            lambda: verify(run.path),
            lambda: lrpdyn.open_run(run.path),
        ]
        for use in uses:
            with pytest.raises(RunError, match=rf"{name}: is a link that leaves the run folder"):
                use()
        path.unlink()
        if aside.exists():
            aside.rename(path)
    assert contents(outside) == before
    assert verify(run.path).is_good


def test_figures_and_the_page_are_not_written_through_links(run: lrpdyn.Run, outside: Path) -> None:
    before = contents(outside)
    shutil.rmtree(run.path / "figures")
    (run.path / "figures").symlink_to(outside / "figures")
    with pytest.raises(RunError, match="figures: is a link"):
        draw([run], "dynamics")
    with pytest.raises(RunError, match="figures: is a link"):
        write_report(run)
    assert contents(outside) == before


def test_links_that_stay_inside_are_read(run: lrpdyn.Run, tmp_path: Path) -> None:
    (run.path / "relevance").rename(run.path / "maps")
    (run.path / "relevance").symlink_to("maps")
    (run.path / "mine").symlink_to("/etc")  # no part of the run
    (tmp_path / "named").symlink_to(run.path)
    assert lrpdyn.open_run(tmp_path / "named").relevance[4].shape == run.shape
    with pytest.raises(RunError, match="relevance: is a link"), locked(run.path):
        pass
    (run.path / "journal.jsonl").unlink()
    (run.path / "journal.jsonl").symlink_to("journal.jsonl")
    with pytest.raises(RunError, match=r"journal\.jsonl: cannot be read"):
        check_parts(run.path, writing=False)


@pytest.mark.parametrize(
    "name", ["journal.jsonl", "figures/x", "any", "relevance/step_1.npy", ".lock"]
)
@pytest.mark.parametrize("kind", ["FIFO", "socket", "device"])
def test_what_is_no_file_is_refused(
    tmp_path: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(path.parent)  # a path has no more than 107 bytes
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    else:
        if os.geteuid():
            pytest.skip("only root makes devices")
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
    for writing in (False, True):
        with pytest.raises(RunError, match=rf"{name}: is a {kind}, expected a plain file"):
            check_parts(tmp_path, writing=writing)


def test_what_is_named_inside_the_run_is_not_written_through_links(
    run: lrpdyn.Run, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (run.path / "mine").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "named").symlink_to(run.path)
    within = (
        run.path / "mine",
        tmp_path / "named" / "mine",
        run.path / "mine" / ".." / "elsewhere",
    )
    for folder in within:
        for use in (
            partial(write_report, run, folder / "page.html"),
            partial(draw, [run], "dynamics", Request(out=folder / "dynamics.png")),
        ):
            with pytest.raises(RunError, match="mine: is a link, and nothing is written through"):
                use()
    assert not list((tmp_path / "elsewhere").iterdir())
    assert write_report(run, tmp_path / "named" / "page.html").path.exists()
    assert write_report(run, tmp_path / "elsewhere" / "page.html").path.exists()
