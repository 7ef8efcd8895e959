"""One series: units, sources of steps, ties, copies, and what was chosen of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.selection import Selection
from lrpdyn.errors import CheckpointError
from tests.checkpoints.networks import own, states

WEIGHTS = states(tuple(range(1, 13)))


def save(folder: Path, name: str, number: int, **told: Any) -> None:
    weights = own(WEIGHTS[number])
    torch.save({"state_dict": weights, **told} if told else weights, folder / name)


def steps(folder: Path, **options: Any) -> list[int]:
    selection = Selection(**options)
    return [checkpoint.step for checkpoint in discover(folder, selection=selection).checkpoints]


def left_out(folder: Path, **options: Any) -> dict[str, str]:
    listing = discover(folder, selection=Selection(**options))
    return {entry.path.name: entry.reason for entry in listing.left_out}


def test_what_the_file_tells_wins_over_its_name(tmp_path: Path) -> None:
    for number, told in ((1, 300), (2, 200), (3, 100)):
        save(tmp_path, f"net_step{number}.pt", number, global_step=told)
    assert steps(tmp_path) == [100, 200, 300]


def test_a_step_that_never_changes_tells_nothing(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        save(tmp_path, f"net_{number}.pt", number, step=0, epoch=number)
    listing = discover(tmp_path)
    assert (listing.unit, [c.step for c in listing.checkpoints]) == ("epochs", [1, 2, 3])


def test_units_are_not_mixed(tmp_path: Path) -> None:
    for number in (1, 2):
        save(tmp_path, f"epoch_{number}.pth", number)
        save(tmp_path, f"iter_{number}000.pth", number + 2)
    with pytest.raises(
        CheckpointError, match=r"different units: epoch_1.* in epochs, iter_.* in steps"
    ):
        discover(tmp_path)
    assert steps(tmp_path, pattern="iter_*") == [1000, 2000]


def test_units_that_the_files_reconcile(tmp_path: Path) -> None:
    for number in (1, 2):
        save(tmp_path, f"epoch_{number}.pth", number, meta={"iter": 500 * number, "epoch": number})
    save(tmp_path, "iter_1500.pth", 3, meta={"iter": 1500, "epoch": 2})
    assert steps(tmp_path) == [500, 1000, 1500]


def test_best_and_last_are_placed_by_what_they_hold(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        save(tmp_path, f"net_{number}00.pt", number, global_step=100 * number)
    save(tmp_path, "best.pt", 4, global_step=250)
    save(tmp_path, "last.pt", 3, global_step=300)
    listing = discover(tmp_path)
    assert [checkpoint.step for checkpoint in listing.checkpoints] == [100, 200, 250, 300]
    assert listing.checkpoints[-1].aliases == (tmp_path / "last.pt",)


def test_a_copy_with_other_weights_gives_way_to_the_numbered_file(tmp_path: Path) -> None:
    for number in (1, 2):
        save(tmp_path, f"net_{number}.pt", number, global_step=number)
    save(tmp_path, "final.pt", 5, global_step=2)
    assert steps(tmp_path) == [1, 2]
    assert left_out(tmp_path) == {"final.pt": "net_2.pt is at its step, 2"}


def test_a_number_that_no_other_file_varies_is_no_step(tmp_path: Path) -> None:
    for number in (1, 2):
        save(tmp_path, f"net_{number}.pt", number)
    save(tmp_path, "resnet50.pt", 3)
    assert steps(tmp_path) == [1, 2]
    assert left_out(tmp_path) == {"resnet50.pt": "no step in the file or its name"}


def test_series_of_one_or_of_one_step(tmp_path: Path) -> None:
    save(tmp_path, "net_7.pt", 1)
    assert steps(tmp_path) == [7]
    (tmp_path / "net_7.pt").unlink()
    for number in (1, 2):
        save(tmp_path, f"a{number}.pt", number, step=5)
    assert steps(tmp_path) == [1, 2]
    for number in (1, 2):
        (tmp_path / f"a{number}.pt").unlink()
        save(tmp_path, "xy"[number - 1] + ".pt", number, step=5)
    with pytest.raises(CheckpointError, match="two different checkpoints at step 5"):
        discover(tmp_path)


def test_links_and_equal_weights_are_one_entry(tmp_path: Path) -> None:
    for number in (1, 2):
        save(tmp_path, f"net_{number}.pt", number)
    (tmp_path / "net_02.pt").hardlink_to(tmp_path / "net_2.pt")
    (tmp_path / "net_002.pt").symlink_to("net_2.pt")
    last = discover(tmp_path).checkpoints[-1]
    names = sorted(path.name for path in (last.path, *last.aliases))
    assert names == ["net_002.pt", "net_02.pt", "net_2.pt"]


def test_equal_weights_at_different_steps_are_kept_and_told(tmp_path: Path) -> None:
    for number, weights in ((1, 1), (2, 2), (3, 2), (4, 2), (5, 3)):
        save(tmp_path, f"net_{number}.pt", weights)
    listing = discover(tmp_path)
    assert len(listing.checkpoints) == 5
    assert listing.same == ((2, 3, 4),)


def test_folders_of_a_glob_tell_the_step(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        (tmp_path / f"step_{number}").mkdir()
        save(tmp_path / f"step_{number}", "model.pt", number)
    found = discover(str(tmp_path / "*/model.pt"))
    assert [checkpoint.step for checkpoint in found.checkpoints] == [1, 2, 10]
