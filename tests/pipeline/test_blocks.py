"""How checkpoints are shared: in blocks of neighbours, alike for each worker."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lrpdyn.checkpoints import containers
from lrpdyn.checkpoints.containers import Part
from lrpdyn.dynamics.accumulate import Dynamics
from lrpdyn.errors import CheckpointError, RunError
from lrpdyn.explain import loaded
from lrpdyn.pipeline import blocks, compute
from lrpdyn.pipeline.blocks import LARGEST_BLOCK, by_processes, in_blocks
from lrpdyn.run import journal
from lrpdyn.run.stored_maps import Storage
from lrpdyn.system.processes import processes
from tests.pipeline.test_compute import Vectors, contents, mlp_run


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


def as_torch(path: Path) -> Path:
    return path


def as_safetensors(path: Path) -> Path:
    """Write the weights as safetensors, by the format's own description."""
    header: dict[str, Any] = {}
    content = b""
    for name, weight in torch.load(path).items():
        data = weight.numpy().tobytes()
        place = [len(content), len(content) + len(data)]
        header[name] = {"dtype": "F32", "shape": list(weight.shape), "data_offsets": place}
        content += data
    text = json.dumps(header).encode()
    path.unlink()
    written = path.with_suffix(".safetensors")
    written.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return written


def cut_short(path: Path) -> None:
    os.truncate(path, 600)


def rewritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-900:-800] = bytes(100)
    path.write_bytes(content)


def replaced(path: Path) -> None:
    path.with_name("new").write_bytes(path.read_bytes() + b"0")
    path.with_name("new").replace(path)


def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one process read ahead, as it does on a GPU."""
    hands = partial(by_processes, 1, ahead=True)
    monkeypatch.setattr(compute, "_by_processes", lambda workers, *job: hands(*job))


@pytest.mark.parametrize(
    ("written", "change", "workers"),
    [(as_torch, cut_short, 1), (as_torch, cut_short, 2), (as_torch, rewritten, 1),
     (as_torch, replaced, 1), (as_torch, Path.unlink, 1), (as_safetensors, cut_short, 2),
     (as_safetensors, replaced, 1), (as_torch, cut_short, "ahead"), (as_torch, replaced, "ahead"),
     (as_torch, Path.unlink, "ahead")],
)  # fmt: skip
def test_a_checkpoint_that_changes_while_it_is_read_is_named_and_can_be_skipped(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    written: Callable[[Path], Path], change: Callable[[Path], None], workers: int | str,
) -> None:  # fmt: skip
    if workers == "ahead":
        ahead(monkeypatch)
        workers = 1
    for path in mlp_folder.iterdir():
        written(path)
    changing = next(mlp_folder.glob("net_20.*"))
    content, read = changing.read_bytes(), Part.bytes_at

    def changes_first(self: Part, place: slice) -> memoryview:
        this = getattr(self.raw._file, "name", None) == str(changing)
        if this and changing.exists() and changing.read_bytes() == content:
            change(changing)
        return read(self, place)

    monkeypatch.setattr(containers, "_AT_ONCE", 0)  # all are large
    monkeypatch.setattr(Part, "bytes_at", changes_first)
    with pytest.raises(CheckpointError, match=changing.name):
        mlp_run(mlp_folder, vectors, tmp_path / "run", workers=workers)
    if workers == 1:
        assert [r["step"] for r in journal.read_journal(tmp_path / "run")] == [2, 4, 10]
    changing.write_bytes(content)
    run = mlp_run(mlp_folder, vectors, tmp_path / "skipped", workers=workers, skip_bad=True)
    (bad,) = (c for c in run.manifest["checkpoints"] if c["status"] != "done")
    assert (bad["step"], bad["status"]) == (20, "bad")
    assert changing.name in bad["reason"]


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


@pytest.mark.parametrize("workers", [1, 2])
def test_who_explains_neighbours_measures_them_unless_it_adds_them_too(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int,
) -> None:  # fmt: skip
    taken: list[int] = []
    add = Dynamics.add

    def noted(self: Dynamics, steps: Any, extra: Any, known: Any) -> Any:
        taken.extend(known)
        return add(self, steps, extra, known)

    monkeypatch.setattr(Dynamics, "add", noted)
    monkeypatch.setattr(blocks, "in_blocks", lambda places, workers: [places[:3], places[3:]])
    mlp_run(mlp_folder, vectors, tmp_path / "run", workers=workers)
    # Of five steps, 2 and 20 begin a block.
    assert taken == ([] if workers == 1 else [4, 10, 30])


@pytest.mark.parametrize("longest", [0.0, 60.0])
def test_reading_ahead_gives_the_same_bytes(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longest: float
) -> None:  # fmt: skip
    monkeypatch.setattr(blocks, "LONGEST", longest)
    torch.save(torch.nn.Linear(6, 3).state_dict(), mlp_folder / "net_20.pt")
    one = mlp_run(mlp_folder, vectors, tmp_path / "one", workers=1, skip_bad=True)
    ahead(monkeypatch)
    elsewhere: list[str] = []
    read = loaded.read_weights

    def noted(path: Path, *rest: Any, **given: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            elsewhere.append(path.name)
        return read(path, *rest, **given)

    monkeypatch.setattr(loaded, "read_weights", noted)
    two = mlp_run(mlp_folder, vectors, tmp_path / "two", workers=1, skip_bad=True)
    assert elsewhere == [f"net_{step}.pt" for step in (2, 4, 10, 20, 30)]
    assert two.steps == (2, 4, 10, 30)
    assert contents(one.path) == contents(two.path)
    assert list(journal.read_journal(one.path)) == list(journal.read_journal(two.path))


def test_threads_share_the_sums_where_one_process_explains_on_a_device(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    begin = Dynamics.__init__

    def noted(self: Dynamics, *given: Any) -> None:
        threads.append(given[-1])
        begin(self, *given)

    monkeypatch.setattr(Dynamics, "__init__", noted)
    monkeypatch.setattr(compute, "processes", lambda workers, device: processes(workers, "cuda"))
    mlp_run(mlp_folder, vectors, tmp_path / "run", workers=3)
    assert threads == [3]
