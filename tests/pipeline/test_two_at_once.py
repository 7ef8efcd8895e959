"""Two processes that write one folder: one is refused in one line, or both are right."""

from __future__ import annotations

import multiprocessing
import pkgutil
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.errors import LrpdynError, RunError
from lrpdyn.figures.kinds import draw
from lrpdyn.observations.recording import Recording
from lrpdyn.page.report import write_report
from lrpdyn.pipeline import merge
from lrpdyn.run.verify import verify
from tests.pipeline.test_compute import Vectors, contents, mlp_run

FORK = multiprocessing.get_context("fork")


def both(one: Callable[[], Any], other: Callable[[], Any]) -> list[str]:
    """Do two things at once, each in a process; return what errors they ended with."""
    said = FORK.SimpleQueue()
    begin = FORK.Barrier(2)

    def do(thing: Callable[[], Any]) -> None:
        begin.wait()
        try:
            thing()
            said.put("")
        except LrpdynError as error:
            said.put(str(error))

    processes = [FORK.Process(target=do, args=(thing,)) for thing in (one, other)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0  # no traceback, and no hanging
    return sorted(said.get() for _ in processes)


def test_two_computations_and_two_merges(series: Path, vectors: Vectors, tmp_path: Path) -> None:
    whole = contents(mlp_run(series, vectors, tmp_path / "whole").path)
    said = both(
        lambda: mlp_run(series, vectors, tmp_path / "run"),
        lambda: mlp_run(series, vectors, tmp_path / "run", rule="epsilon"),
    )
    assert said[0] == ""
    assert "another process computes here" in said[1] or "holds another" in said[1]
    shards = [tmp_path / "1", tmp_path / "2"]
    for n, shard in enumerate(shards, start=1):
        mlp_run(series, vectors, shard, shard=f"{n}/2")
    said = both(
        lambda: lrpdyn.merge(shards, out=tmp_path / "merged", quiet=True),
        lambda: lrpdyn.merge(shards, out=tmp_path / "merged", quiet=True, wait=60),
    )
    assert said[0] == ""
    assert not said[1] or "another process computes here" in said[1]
    assert contents(tmp_path / "merged") == whole
    assert verify(tmp_path / "merged").is_good


def test_two_figures_two_pages_and_two_recordings(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    run = mlp_run(mlp_folder, vectors, tmp_path / "run")
    one, out = tmp_path / "one.npz", tmp_path / "two.npz"
    drawn = run.path / "figures" / "distribution.png"

    def record(seed: int, path: Path) -> None:
        random = np.random.default_rng(seed)
        numbers: NDArray[Any] = random.normal(size=(500, 40))
        Recording(observations=numbers, outputs=numbers, actions=numbers, episode=numbers,
                  time=numbers, reward=numbers, about={}).save(path)  # fmt: skip

    draw([run], "distribution")
    expected = drawn.read_bytes()
    assert both(lambda: draw([run], "distribution"), lambda: draw([run], "distribution")) == [
        "",
        "",
    ]
    assert drawn.read_bytes() == expected
    assert both(lambda: write_report(run), lambda: write_report(run)) == ["", ""]
    assert (run.path / "report.html").read_text().rstrip().endswith("</html>")
    assert both(lambda: record(0, out), lambda: record(1, out)) == ["", ""]
    written = []
    for seed in (0, 1):
        record(seed, one)
        written.append(np.load(one)["outputs"].tobytes())
    assert np.load(out)["outputs"].tobytes() in written
    assert not [*tmp_path.rglob("*.tmp")]


@pytest.mark.parametrize(
    ("write", "last"),
    [(lambda run: draw([run], "dynamics"), "matplotlib.figure.Figure.savefig"),
     (write_report, "lrpdyn.page.render.as_html")],
)  # fmt: skip
def test_nothing_is_written_of_a_run_that_became_another_meanwhile(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    write: Callable[[lrpdyn.Run], Any], last: str,
) -> None:  # fmt: skip
    opened = mlp_run(mlp_folder, vectors, tmp_path / "run")
    before: dict[Path, bytes] = {}
    function = pkgutil.resolve_name(last)

    def becomes_another(*given: Any, **options: Any) -> Any:
        monkeypatch.undo()
        asked = {"rule": "epsilon", "overwrite": True, "workers": 1}
        other = Thread(target=mlp_run, args=(mlp_folder, vectors, opened.path), kwargs=asked)
        other.start()
        other.join()
        before.update((path, path.read_bytes()) for path in opened.path.rglob("*.[!t]*"))
        return function(*given, **options)

    monkeypatch.setattr(last, becomes_another)
    with pytest.raises(RunError, match="another process wrote the run while it was read"):
        write(opened)
    assert before == {path: path.read_bytes() for path in opened.path.rglob("*.[!t]*")}


def test_a_shard_that_becomes_another_while_it_is_merged(
    series: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = [tmp_path / "1", tmp_path / "2"]
    for n, shard in enumerate(shards, start=1):
        mlp_run(series, vectors, shard, shard=f"{n}/2")
    check = merge.check_shard

    def check_then_other(shard: Any, *rest: Any) -> list[Any]:
        found = list(check(shard, *rest))
        if shard.path == shards[1]:
            mlp_run(series, vectors, shards[1], shard="2/2", rule="epsilon", overwrite=True)
        return found

    monkeypatch.setattr(merge, "check_shard", check_then_other)
    with pytest.raises(RunError, match="2: another process wrote the run while it was read"):
        lrpdyn.merge(shards, out=tmp_path / "merged", quiet=True)
