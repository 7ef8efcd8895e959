"""Folders that are not made for us: links, pipes, strange names, many entries."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
import torch

from lrpdyn.checkpoints.discovery import discover
from lrpdyn.errors import CheckpointError
from tests.checkpoints.networks import states


def series(folder: Path, names: str = "net_{}.pt") -> None:
    folder.mkdir(exist_ok=True, parents=True)
    for step, weights in states().items():
        torch.save(weights, folder / names.format(step))


def reasons(folder: Path, trust: bool = True) -> dict[str, str]:
    return {entry.path.name: entry.reason for entry in discover(folder, trust=trust).left_out}


def test_links_that_leave_the_folder_are_left_out(tmp_path: Path) -> None:
    series(tmp_path / "ckpts")
    torch.save(states((7,))[7], tmp_path / "outside.pt")
    (tmp_path / "ckpts/net_7.pt").symlink_to("../outside.pt")
    (tmp_path / "ckpts/net_8.pt").symlink_to("nowhere.pt")
    (tmp_path / "ckpts/net_9.pt").symlink_to("net_9.pt")
    found = reasons(tmp_path / "ckpts")
    assert "leaves the folder" in found["net_7.pt"]
    assert found["net_8.pt"] == found["net_9.pt"] == "a link to nothing"
    steps = [c.step for c in discover(tmp_path / "ckpts", links=True).checkpoints]
    assert steps == [3, 7, 20, 100]


def test_links_inside_of_a_checkpoint_folder_do_not_leave_either(tmp_path: Path) -> None:
    for step, weights in states().items():
        (tmp_path / f"ckpts/{step}_checkpoint").mkdir(parents=True)
        torch.save(weights, tmp_path / f"{step}.pt")
        (tmp_path / f"ckpts/{step}_checkpoint/model.pt").symlink_to(f"../../{step}.pt")
    assert all("leaves the folder" in reason for reason in reasons(tmp_path / "ckpts").values())
    assert len(discover(tmp_path / "ckpts", links=True).checkpoints) == 3


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    series(tmp_path / "ckpts")
    os.mkfifo(tmp_path / "ckpts/net_5.pt")
    assert reasons(tmp_path / "ckpts") == {"net_5.pt": "no plain file"}


def test_one_folder_below_is_entered_and_said(tmp_path: Path) -> None:
    series(tmp_path / "exp/checkpoint_p0")
    (tmp_path / "exp/logs").mkdir()
    listing = discover(tmp_path)
    assert len(listing.checkpoints) == 3
    assert listing.notes == (f"the checkpoints are in {tmp_path}/exp/checkpoint_p0",)
    series(tmp_path / "exp/checkpoint_p1")
    with pytest.raises(CheckpointError, match=r"several folders of them: .*checkpoint_p0, .*_p1"):
        discover(tmp_path)


def test_control_characters_in_names_are_shown(tmp_path: Path) -> None:
    folder = tmp_path / "ckpts"
    series(folder, "net\x1b[31m_{}.pt")
    (folder / "net\x1b[31m_7.pt").write_bytes(b"")
    (folder / os.fsdecode(b"net\xff_9.txt")).write_text("x")
    command = [sys.executable, "-m", "lrpdyn", "inspect", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert r"net\x1b[31m_20.pt" in done.stdout
    assert r"net\x1b[31m_7.pt: is empty" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_memory_does_not_grow_with_the_weights_of_many_files(tmp_path: Path) -> None:
    weights = {f"{n}.weight": torch.randn(64, 64) for n in range(4)}
    for step in range(100):
        torch.save({"state_dict": weights, "global_step": step}, tmp_path / f"net_{step}.pt")
    discover(tmp_path, pattern="net_1*")  # imports
    tracemalloc.start()
    listing = discover(tmp_path)
    gc.collect()  # what is held is what can be reached
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(listing.checkpoints) == 100
    assert len({id(c.header) for c in listing.checkpoints}) == 1
    assert dict(listing.checkpoints[99].header.shapes) == {
        f"{n}.weight": (64, 64) for n in range(4)
    }
    # A file has 64 KiB of weights; an entry is its path, headers are read one at a time.
    assert held < 100 * 1000
    assert peak < held + 2_000_000


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    for name in ("nothing", "a\0b"):
        with pytest.raises(CheckpointError, match=r"no such folder|cannot be listed"):
            discover(str(tmp_path / name))
    (tmp_path / "file.pt").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="is a file"):
        discover(tmp_path / "file.pt")
