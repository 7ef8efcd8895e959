"""A folder that is being written into: an entry counts once it stands still."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lrpdyn.checkpoints import watching
from lrpdyn.checkpoints.selection import Selection
from lrpdyn.checkpoints.watching import WRITTEN, Watch
from tests.checkpoints.networks import states


class Clock:
    """A clock that the test sets."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watching, "time", clock)
    return clock


def steps(watch: Watch) -> list[int]:
    return [checkpoint.step for checkpoint in watch.look().checkpoints]


def test_an_entry_counts_when_it_has_stood_still(tmp_path: Path, clock: Clock) -> None:
    for step in (1, 2):
        torch.save(states((step,))[step], tmp_path / f"net_{step}.pt")
    watch = Watch(tmp_path, Selection(), 2.0, trust=False)
    assert {entry.reason for entry in watch.look().left_out} == {WRITTEN}
    clock.now += 2
    torch.save({**states((3,))[3], "more": torch.zeros(9)}, tmp_path / "net_2.pt")
    assert steps(watch) == [1]
    clock.now += 2
    assert steps(watch) == [1, 2]
    assert watch.is_past(2)
    assert not watch.is_past(3)
    assert not watch.is_past(None)


def test_copies_without_a_number_come_at_the_end(tmp_path: Path, clock: Clock) -> None:
    for step in (1, 2):
        torch.save({"model": states((step,))[step], "step": step}, tmp_path / f"net_{step}.pt")
    torch.save({"model": states((3,))[3], "step": 3}, tmp_path / "latest.pt")
    watch = Watch(tmp_path, Selection(), 2.0, trust=False)
    watch.look()
    clock.now += 2
    (left,) = watch.look().left_out
    assert left.reason == "its name has no number: read when following ends"
    assert [checkpoint.path.name for checkpoint in watch.look_at_all().checkpoints] == [
        "net_1.pt", "net_2.pt", "latest.pt",
    ]  # fmt: skip


def test_a_damaged_entry_is_told_at_the_end_and_a_distrusted_one_stays_bad(
    tmp_path: Path, clock: Clock
) -> None:
    for step in (1, 2):
        torch.save(states((step,))[step], tmp_path / f"net_{step}.pt")
    (tmp_path / "net_3.pt").write_bytes(b"PK\x03\x04")
    watch = Watch(tmp_path, Selection(), 2.0, trust=False)
    watch.look()
    clock.now += 2
    assert watch.look().left_out == ()
    assert [entry.path.name for entry in watch.look_at_all().bad] == ["net_3.pt"]
    watch.distrust(tmp_path / "net_2.pt", "is wrong")
    bad = {entry.path.name: entry.reason for entry in watch.look_at_all().bad}
    assert bad["net_2.pt"] == f"{tmp_path}/net_2.pt: is wrong"


def test_a_glob_that_matches_nothing_yet_is_empty(tmp_path: Path) -> None:
    watch = Watch(str(tmp_path / "*.pt"), Selection(), 0.0, trust=False)
    assert watch.look().checkpoints == ()
