"""The command that finished a run is recognised; other options, other files and other results are not it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.pipeline.setup.same_command import Command, command_of
from lrpdyn.run.lock import locked
from lrpdyn.run.manifest import save_manifest

LONG_AGO = time.time() - 1000
OPTIONS: dict[str, Any] = {"rule": "zplus", "samples": None, "arch_arg": ("activation=tanh",)}


def of(folder: Path, *inputs: str | Path, **options: Any) -> Command:
    return command_of(inputs, {**OPTIONS, "out": folder / "run", **options})


def question(folder: Path, **options: Any) -> Command:
    options = {"curve": f"{folder}/curve.csv:r", **options}
    return of(folder, folder / "ckpts", folder / "obs.npy", **options)


def settle(folder: Path) -> None:
    """Let nothing have changed just before."""
    for path in folder.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO), follow_symlinks=False)


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory, vectors: NDArray[np.float32]) -> Path:
    """A folder with checkpoints, observations and their finished run."""
    import torch

    folder = tmp_path_factory.mktemp("asked")
    (folder / "ckpts/deeper").mkdir(parents=True)
    for step in (2, 4, 10):
        torch.manual_seed(step)
        network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
        torch.save(network.state_dict(), folder / f"ckpts/net_{step}.pt")
    (folder / "ckpts/notes.txt").write_text("nothing")
    (folder / "curve.csv").write_text("step,r\n1,2\n")
    np.save(folder / "obs.npy", vectors)
    lrpdyn.compute(folder / "ckpts", folder / "obs.npy", out=folder / "run", workers=1,
                   baseline="none", arch_args={"activation": "tanh"}, quiet=True)  # fmt: skip
    settle(folder)
    return folder


@pytest.fixture
def copy(computed: Path, tmp_path: Path) -> Path:
    """A copy of it that is remembered as finished."""
    folder = tmp_path / "copy"
    shutil.copytree(computed, folder)
    assert question(folder).finished_run() is None
    question(folder).record(lrpdyn.open_run(folder / "run"))
    return folder


def test_the_same_question_is_answered(copy: Path) -> None:
    run = question(copy).finished_run()
    assert run is not None
    assert run.steps == (2, 4, 10)
    assert question(copy, workers=3, quiet=True).finished_run() is not None


def replaced(path: Path) -> None:
    """Put other bytes of the same size and time in its place."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, (LONG_AGO, LONG_AGO))


def edited(folder: Path, old: str, new: str) -> None:
    text = (folder / "run/manifest.json").read_text()
    save_manifest(folder / "run", json.loads(text.replace(old, new)))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a new checkpoint": lambda f: shutil.copy2(f / "ckpts/net_4.pt", f / "ckpts/net_20.pt"),
    "a new file below": lambda f: shutil.copy2(f / "obs.npy", f / "ckpts/deeper/obs.npy"),
    "a new folder": lambda f: (f / "ckpts/other").mkdir(),
    "an entry is gone": lambda f: (f / "ckpts/notes.txt").unlink(),
    "an entry is renamed": lambda f: (f / "ckpts/notes.txt").rename(f / "ckpts/n.txt"),
    "a checkpoint is touched": lambda f: os.utime(f / "ckpts/net_4.pt", (LONG_AGO, LONG_AGO + 9)),
    "a checkpoint is another": lambda f: replaced(f / "ckpts/net_4.pt"),
    "a checkpoint is gone": lambda f: (f / "ckpts/net_4.pt").unlink(),
    "a link to elsewhere": lambda f: (f / "ckpts/net_5.pt").symlink_to(f / "ckpts/net_4.pt"),
    "a linked folder": lambda f: (f / "ckpts/linked").symlink_to(f / "run"),
    "other observations": lambda f: replaced(f / "obs.npy"),
    "no observations": lambda f: (f / "obs.npy").unlink(),
    "another curve": lambda f: replaced(f / "curve.csv"),
    "a map is gone": lambda f: (f / "run/relevance/step_000000000004.npy").unlink(),
    "a map is cut": lambda f: os.truncate(f / "run/relevance/step_000000000004.npy", 100),
    "a result is gone": lambda f: (f / "run/dynamics.npy").unlink(),
    "a result is another": lambda f: os.utime(f / "run/outliers.json"),
    "a figure is gone": lambda f: (f / "run/figures/dynamics.png").unlink(),
    "the manifest is damaged": lambda f: (f / "run/manifest.json").write_text("{"),
    "the run is not finished": lambda f: edited(f, '"done"', '"pending"'),
    "the run is of another version": lambda f: edited(f, lrpdyn.__version__, "0.0"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_answered_where_something_changed(copy: Path, change: str) -> None:
    CHANGES[change](copy)
    assert question(copy).finished_run() is None


def test_a_figure_that_is_drawn_again_is_the_same(copy: Path) -> None:
    os.utime(copy / "run/figures/dynamics.png")
    assert question(copy).finished_run() is not None


def test_other_options_are_another_question(copy: Path) -> None:
    for other in ({"rule": "gamma"}, {"samples": "0,1"}, {"arch_arg": ()}, {"curve": None}):
        assert question(copy, **other).finished_run() is None


def test_another_folder_of_the_same_names_is_another(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_within() -> Command:
        return of(copy, "ckpts", "obs.npy")

    monkeypatch.chdir(copy)
    from_within().record(lrpdyn.open_run(copy / "run"))
    assert from_within().finished_run() is not None
    shutil.copytree(copy, copy / "inner")
    monkeypatch.chdir(copy / "inner")
    assert from_within().finished_run() is None


@pytest.mark.parametrize(
    "name", ["trust", "overwrite", "recompute", "profile", "follow", "verbose"]
)
def test_what_asks_for_more_than_the_results_is_run(copy: Path, name: str) -> None:
    command = question(copy, **{name: True})
    command.record(lrpdyn.open_run(copy / "run"))
    assert command.finished_run() is None


def test_what_may_still_change_unseen_is_not_remembered(copy: Path) -> None:
    (copy / "ckpts/net_4.pt").touch()
    before = (copy / "run/manifest.json").read_bytes()
    question(copy).record(lrpdyn.open_run(copy / "run"))
    assert (copy / "run/manifest.json").read_bytes() == before
    assert question(copy).finished_run() is None


def test_a_glob_is_what_it_matches(copy: Path) -> None:
    def matched() -> Command:
        return of(copy, f"{copy}/ckpts/net_*.pt", copy / "obs.npy")

    matched().record(lrpdyn.open_run(copy / "run"))
    (copy / "ckpts/notes.txt").unlink()
    assert matched().finished_run() is not None
    (copy / "ckpts/net_4.pt").rename(copy / "ckpts/net_5.pt")
    assert matched().finished_run() is None


def test_a_key_within_a_file_is_told_by_the_file(copy: Path) -> None:
    def keyed() -> Command:
        return of(copy, copy / "ckpts", f"{copy}/obs.npy:frames")

    keyed().record(lrpdyn.open_run(copy / "run"))
    assert keyed().finished_run() is not None
    replaced(copy / "obs.npy")
    assert keyed().finished_run() is None


def test_a_rules_file_is_told_where_a_rule_for_attention_follows(copy: Path) -> None:
    (copy / "mine.toml").write_text("[[layers]]\nrule = 'gamma'\n")
    settle(copy)

    def ruled() -> Command:
        options = {"out": copy / "run", "rule": f"{copy}/mine.toml+attnlrp"}
        return command_of([copy / "ckpts", copy / "obs.npy"], options)

    ruled().record(lrpdyn.open_run(copy / "run"))
    assert ruled().finished_run() is not None
    replaced(copy / "mine.toml")
    assert ruled().finished_run() is None


@pytest.mark.parametrize("elsewhere", ["s3://bucket/ckpts", "nowhere", "nowhere/*.pt"])
def test_what_is_not_here_is_never_told(copy: Path, elsewhere: str) -> None:
    assert of(copy, elsewhere, copy / "obs.npy").key is None
    assert question(copy, curve="s3://bucket/curve.csv:r").key is None


def test_a_folder_that_cannot_be_written_to_is_left_as_it_is(copy: Path) -> None:
    run = lrpdyn.open_run(copy / "run")
    (copy / "run/manifest.json").unlink()
    (copy / "run/manifest.json").mkdir()
    question(copy, rule="gamma").record(run)
    assert question(copy, rule="gamma").finished_run() is None


def test_what_another_process_made_since_is_not_taken_for_it(copy: Path) -> None:
    mine = lrpdyn.open_run(copy / "run")
    save_manifest(copy / "run", {**mine.manifest, "command": "another"})
    before = (copy / "run/manifest.json").read_bytes()
    question(copy, rule="gamma").record(mine)
    assert (copy / "run/manifest.json").read_bytes() == before


def test_nothing_is_remembered_while_another_process_computes(copy: Path) -> None:
    before = (copy / "run/manifest.json").read_bytes()
    with locked(copy / "run"):
        question(copy, rule="gamma").record(lrpdyn.open_run(copy / "run"))
    assert (copy / "run/manifest.json").read_bytes() == before
