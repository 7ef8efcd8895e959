"""The journal: a checksummed line a step, of which a torn last one is cut off, and no other."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from pathlib import Path

import pytest

from lrpdyn.errors import RunError
from lrpdyn.run.journal import (
    append_journal,
    forget,
    is_whole,
    placed_records,
    read_journal,
    record_at,
    whole_records,
)
from tests.dynamics.test_step_table import facts_of

STEPS = (1, 2, 3)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of three steps, two of them added together."""
    append_journal(tmp_path, facts_of(1))
    append_journal(tmp_path, facts_of(2), facts_of(3))
    return tmp_path / "journal.jsonl"


def steps_of(run: Path) -> list[int]:
    return [record["step"] for record in read_journal(run)]


def test_each_line_is_a_checksum_and_what_was_put_in(journal: Path) -> None:
    assert list(read_journal(journal.parent)) == [facts_of(step) for step in STEPS]
    lines = journal.read_text().splitlines()
    assert len(lines) == len(STEPS)
    for step, line in zip(STEPS, lines, strict=True):
        checksum, text = line.split(" ", 1)
        assert int(checksum, 16) == zlib.crc32(text.encode())
        assert json.loads(text) == facts_of(step)
    assert list(read_journal(journal.parent / "none")) == []
    with pytest.raises(RunError, match=r"journal\.jsonl: cannot be written"):
        append_journal(journal.parent / "none", facts_of(4))


def test_a_torn_last_line_is_cut_off_and_the_next_step_follows(journal: Path) -> None:
    content = journal.read_bytes()
    whole = content[: content.rindex(b"\n", 0, -1) + 1]
    for torn in (content[:-1], content[:-50], whole + b"\x00" * 20, whole + b"{}\n"):
        journal.write_bytes(torn)
        assert is_whole(journal.parent)
        assert len(list(whole_records(journal.parent))) == 2
        assert journal.read_bytes() == torn  # so far it was only looked at
        assert steps_of(journal.parent) == [1, 2]
        assert journal.read_bytes() == whole
        append_journal(journal.parent, facts_of(3))
        assert journal.read_bytes() == content


def test_damage_before_the_last_line_is_told_and_nothing_is_cut_off(journal: Path) -> None:
    damaged = journal.read_bytes().replace(b'"step":2,', b'"step":7,', 1)
    journal.write_bytes(damaged)
    assert not is_whole(journal.parent)
    assert [record["step"] for record in whole_records(journal.parent)] == [1, 3]
    with pytest.raises(RunError, match=r"journal\.jsonl: line 2 is damaged; lrpdyn verify"):
        list(read_journal(journal.parent))
    assert journal.read_bytes() == damaged
    places = [0, damaged.index(b"\n") + 1]
    assert record_at(journal.parent, places[0]) == facts_of(1)
    with pytest.raises(RunError, match=r"journal\.jsonl: a line is damaged"):
        record_at(journal.parent, places[1])


def test_a_line_of_another_kind_is_damage_though_its_checksum_is_right(tmp_path: Path) -> None:
    append_journal(tmp_path, {**facts_of(1), "status": "lost"}, facts_of(2))
    with pytest.raises(RunError, match="line 1 is damaged"):
        list(read_journal(tmp_path))


def test_steps_are_forgotten_and_those_after_them_looked_at_again(journal: Path) -> None:
    append_journal(journal.parent, facts_of(4))
    forget(journal.parent, {2})
    first, third, fourth = read_journal(journal.parent)
    assert first == facts_of(1)
    assert third == {**facts_of(3), "evidence": {**facts_of(3)["evidence"], "key": None}}
    known = facts_of(4)["evidence"]
    weights = {**known["weights"], "back": None, "back_step": None}
    # It was compared with step 2, two steps before it.
    assert fourth == facts_of(4, evidence={**known, "key": [3, None], "weights": weights})


def test_journals_are_read_and_not_held(tmp_path: Path) -> None:
    append_journal(tmp_path, *(facts_of(step) for step in range(2000)))
    assert (tmp_path / "journal.jsonl").stat().st_size > 2_000_000
    list(read_journal(tmp_path))
    tracemalloc.start()
    assert sum(1 for _ in read_journal(tmp_path)) == 2000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000
    places = {record["step"]: place for place, record in placed_records(tmp_path)}
    assert record_at(tmp_path, places[1500]) == facts_of(1500)
