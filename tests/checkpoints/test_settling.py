"""A checkpoint that is being written is waited for, or left out, and told; a bad one stays bad."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
import torch

from lrpdyn.checkpoints import settling
from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.settling import wait_for


def test_a_file_whose_end_comes_is_taken(mlp_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "QUIET", 1.0)
    newest = mlp_folder / "net_30.pt"
    whole = newest.read_bytes()
    newest.write_bytes(whole[:500])

    def write() -> None:
        with newest.open("ab", buffering=0) as file:
            for at in range(500, len(whole), 400):
                time.sleep(0.05)
                file.write(whole[at : at + 400])

    thread = threading.Thread(target=write)
    thread.start()
    listing = discover(mlp_folder)
    thread.join()
    assert [checkpoint.step for checkpoint in listing.checkpoints] == [2, 4, 10, 20, 30]
    assert listing.notes == ("net_30.pt was being written, and was waited for",)
    assert not listing.left_out


def test_a_file_that_goes_on_changing_is_left_out(
    mlp_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "QUIET", 1.0)
    monkeypatch.setattr(settling, "PATIENCE", 0.5)
    newest = mlp_folder / "net_40.pt"
    newest.write_bytes((mlp_folder / "net_30.pt").read_bytes()[:500])
    listing = discover(mlp_folder)
    assert [checkpoint.step for checkpoint in listing.checkpoints] == [2, 4, 10, 20, 30]
    assert not listing.bad
    assert [entry.reason for entry in listing.left_out] == ["is still being written"]
    assert "net_40.pt is still being written: skipped" in listing.notes[0]


def test_an_old_file_that_is_cut_short_is_bad_at_once(
    mlp_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "QUIET", 60.0)
    newest = mlp_folder / "net_30.pt"
    newest.write_bytes(newest.read_bytes()[:500])
    os.utime(newest, (1e9, 1e9))
    (bad,) = discover(mlp_folder).bad
    assert "cut short or still being written" in bad.reason


def test_folders_and_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    torch.save({}, tmp_path / "shards" / "one.pt")
    found = wait_for([tmp_path / "shards", tmp_path / "gone"])
    assert (found.still, found.changing) == ((tmp_path / "shards",), ())
