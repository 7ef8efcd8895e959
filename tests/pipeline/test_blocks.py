"""How checkpoints are shared: in blocks of neighbours, alike for each worker."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrpdyn.errors import RunError
from lrpdyn.pipeline import blocks
from lrpdyn.pipeline.blocks import LARGEST_BLOCK, in_blocks
from lrpdyn.run import journal
from lrpdyn.run.stored_maps import Storage
from tests.pipeline.test_compute import Vectors, mlp_run


@given(st.integers(0, 3000), st.integers(1, 40))
def test_blocks_are_of_neighbours_and_smaller_towards_the_end(count: int, workers: int) -> None:
    places = range(7, 7 + count)
    found = in_blocks(places, workers)
    assert list(chain(*found)) == list(places)
    sizes = [len(block) for block in found]
    assert all(0 < size <= LARGEST_BLOCK for size in sizes)
    assert sizes == sorted(sizes, reverse=True)
    # Nobody has more than a step left when the others have none, if all steps take the same time.
    done = [0] * workers
    for size in sizes:
        done[done.index(min(done))] += size
    assert max(done) - min(done) <= 1


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_explained_before_the_disk_was_full_is_kept(
    mlp_folder: Path,
    vectors: Vectors,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
) -> None:
    save = Storage.save

    def full(self: Storage, folder: Path, step: int, *rest: Any) -> Any:
        if step == 20:
            raise RunError("no space is left on its disk")
        return save(self, folder, step, *rest)

    monkeypatch.setattr(Storage, "save", full)
    monkeypatch.setattr(blocks, "in_blocks", lambda places, workers: [places[:4], places[4:]])
    with pytest.raises(RunError, match="no space is left"):
        mlp_run(mlp_folder, vectors, tmp_path / "run", workers=workers, skip_bad=True)
    assert [record["step"] for record in journal.read_journal(tmp_path / "run")] == [2, 4, 10]
    monkeypatch.undo()
    mlp_run(mlp_folder, vectors, tmp_path / "run", workers=workers)


@pytest.mark.parametrize(("longest", "expected"), [(0.0, [1] * 5), (60.0, [5])])
def test_one_process_keeps_what_it_has_after_a_while(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    longest: float, expected: list[int],
) -> None:  # fmt: skip
    monkeypatch.setattr(blocks, "LONGEST", longest)
    added: list[int] = []
    append = journal.append_journal
    monkeypatch.setattr(
        "lrpdyn.pipeline.steps.append_journal",
        lambda run, *records: (added.append(len(records)), append(run, *records)),
    )
    mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1)
    assert added == expected
