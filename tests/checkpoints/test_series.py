"""One series: units, sources of steps, ties, copies, and what was chosen of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
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


@pytest.mark.parametrize(
    ("names", "unit", "expected"),
    [
        ("20240101_120000 20240101_230000 20240102_010000", "seconds since 1970", None),
        ("a_2024-01-31T23-59-59_91 a_2024-02-01T00-00-01_85", "seconds since 1970", None),
        ("ep_1_rew_-21 ep_2_rew_-3 ep_10_rew_-15", "ep", [1, 2, 10]),
        (
            "e_epoch_1_iter_900 e_epoch_2_iter_100",
            "epochs x 1,000,000 + steps",
            [1_000_900, 2_000_100],
        ),
        ("e_epoch_1_iter_900 e_epoch_2_iter_1800", "steps", [900, 1800]),
        ("m_1_1000 m_2_2000", "steps", [1000, 2000]),
        ("m_500_000 m_1_000_000 m_1_500_000", "steps", [500_000, 1_000_000, 1_500_000]),
        ("m_12,288 m_1,036,800", "steps", [12_288, 1_036_800]),
        ("stage_1_epoch_1 stage_1_epoch_2 stage_2_epoch_3", "epochs", [1, 2, 3]),
        ("agent_0 agent_500k agent_1M", "steps", [0, 500_000, 1_000_000]),
        ("ck_-1 ck_0 ck_1", "steps", [-1, 0, 1]),
        ("step1_f1_91 step2_f1_80", "steps", [1, 2]),
    ],
)
def test_numbers_that_vary_are_told_apart(
    names: str, unit: str, expected: list[int] | None, tmp_path: Path
) -> None:
    for number, name in enumerate(names.split(), start=1):
        save(tmp_path, f"{name}.pt", number)
    listing = discover(tmp_path)
    assert [checkpoint.path.stem for checkpoint in listing.checkpoints] == names.split()
    assert listing.unit == unit
    assert expected is None or steps(tmp_path) == expected


@pytest.mark.parametrize(
    "names",
    ["m_10_95 m_20_40 m_30_80", "reward_1 reward_2", "m_-100 m_-200",
     "seed_1_step_1 seed_1_step_3 seed_2_step_2", "stage1_epoch9 stage2_epoch1 stage2_epoch5",
     "run_1_step_100 run_2_step_50"],
)  # fmt: skip
def test_what_nothing_tells_is_asked(names: str, tmp_path: Path) -> None:
    for number, name in enumerate(names.split(), start=1):
        save(tmp_path, f"{name}.pt", number)
    with pytest.raises(CheckpointError, match=r"--step-from|--pattern"):
        discover(tmp_path)


def test_times_of_files_decide_only_where_they_are_of_a_training(tmp_path: Path) -> None:
    numbers = (3, 20, 100, 110, 200, 1000, 2000)
    for place, number in enumerate(numbers):
        save(tmp_path, f"m_{number}_{(number * 37) % 101}.pt", place + 1)

    def touch(order: Sequence[int], gap: float) -> None:
        for place, number in enumerate(order):
            path = tmp_path / f"m_{number}_{(number * 37) % 101}.pt"
            os.utime(path, (1.7e9 + gap * place,) * 2)

    touch(numbers, 60)
    listing = discover(tmp_path)
    assert [checkpoint.step for checkpoint in listing.checkpoints] == list(numbers)
    assert any("rises with the times" in note for note in listing.notes)
    for order, gap in (
        (sorted(numbers, key=str), 60),
        (numbers, 0.01),
        (numbers[::-1][3:] + numbers[4:], 60),
    ):
        touch(order, gap)
        with pytest.raises(CheckpointError, match="--step-from"):
            discover(tmp_path)
