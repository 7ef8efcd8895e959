"""Which checkpoints of a series are taken."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.selection import Selection, evenly
from lrpdyn.errors import CheckpointError, UsageError
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


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, list(range(1, 13))),
        ({"since": 3, "until": 9}, list(range(3, 10))),
        ({"every": 5}, [1, 6, 11]),
        ({"limit": 3}, [1, 7, 12]),
        ({"limit": 2}, [1, 12]),
        ({"since": 2, "every": 2, "limit": 3}, [2, 8, 12]),
        ({"pattern": "net_1*"}, [1, 10, 11, 12]),
        ({"limit": 50}, list(range(1, 13))),
    ],
)
def test_selection(tmp_path: Path, options: dict[str, Any], expected: list[int]) -> None:
    for number in range(1, 13):
        save(tmp_path, f"net_{number}.pt", number)
    assert steps(tmp_path, **options) == expected
    assert len(left_out(tmp_path, **options)) == 12 - len(expected)


@given(st.integers(1, 300), st.integers(2, 50))
def test_evenly_keeps_first_and_last_and_spaces_the_rest(length: int, count: int) -> None:
    places = evenly(range(length), count)
    assert len(places) == min(length, count)
    assert (places[0], places[-1]) == (0, length - 1)
    gaps = {b - a for a, b in pairwise(places)}
    assert len(gaps) <= 2
    assert not gaps or max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(
    "options", [{"every": 0}, {"limit": 1}, {"since": 5, "until": 4}, {"weights": ""}]
)
def test_selections_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--"):
        Selection(**options)


def test_bad_files_outside_of_the_selection_do_not_matter(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        save(tmp_path, f"net_{number}.pt", number)
    (tmp_path / "net_9.pt").write_bytes(b"")
    assert [entry.step for entry in discover(tmp_path).bad] == [9]
    assert discover(tmp_path, selection=Selection(until=5)).bad == ()


def test_the_step_is_taken_from_names_as_the_user_says(tmp_path: Path) -> None:
    for number, name in enumerate(("m_95_-1.pt", "m_40_500k.pt", "m_80_1e6.pt"), start=1):
        save(tmp_path, name, number)
    save(tmp_path, "other.pt", 4)
    with pytest.raises(
        CheckpointError, match=r"m 40, 80, 95 .* or 500k, 1e6, -1 .*--step-from"
    ) as error:
        discover(tmp_path, pattern="m_*")
    assert "\n" not in str(error.value)
    regex = r"^m_\d+_(.+)\.pt$"
    assert steps(tmp_path, step_from=regex) == [-1, 500_000, 1_000_000]
    assert left_out(tmp_path, step_from=regex) == {
        "other.pt": f"does not match --step-from {regex}"
    }
    with pytest.raises(
        UsageError, match=r"takes 'm_40' from m_40_500k\.pt, expected a whole number"
    ):
        discover(tmp_path, selection=Selection(step_from=r"^(m_\d+)"))


def test_the_step_is_taken_from_paths_of_a_glob(tmp_path: Path) -> None:
    for number, step in enumerate((10, 2, 1), start=1):
        (tmp_path / f"a{number}/at_{step}").mkdir(parents=True)
        save(tmp_path / f"a{number}/at_{step}", "model.pt", number)
    chosen = Selection(step_from=r"at_(\d+)/")
    found = discover(str(tmp_path / "*/*/model.pt"), selection=chosen)
    assert [checkpoint.step for checkpoint in found.checkpoints] == [1, 2, 10]
    assert {checkpoint.step_source for checkpoint in found.checkpoints} == {"--step-from"}


@pytest.mark.parametrize("regex", ["(", r"\d+", r"(\d)(\d)"])
def test_step_from_needs_one_group(regex: str) -> None:
    with pytest.raises(UsageError, match="--step-from"):
        Selection(step_from=regex)
