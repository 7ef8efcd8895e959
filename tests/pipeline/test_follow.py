"""A run that is followed: all is explained, nothing twice, nothing half-written, the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.checkpoints import settling
from lrpdyn.checkpoints.selection import Selection
from lrpdyn.checkpoints.watching import Watch
from lrpdyn.errors import CheckpointError, RunError, UsageError
from lrpdyn.pipeline import follow
from lrpdyn.system.processes import in_order

TANH = {"activation": "tanh"}
Vectors = NDArray[np.float32]
#: What a training run does with its checkpoints, at its worst.
TRAINING = textwrap.dedent(
    """
    import io, os, sys, time
    from pathlib import Path
    import torch
    folder, poll = Path(sys.argv[1]), float(sys.argv[2])
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    for step in range(0, 120, 10):
        buffer = io.BytesIO()
        torch.save(network.state_dict(), buffer)
        content = buffer.getvalue()
        with (folder / f"net_{step}.pt").open("wb") as file:
            for part in range(3 if step in (20, 60) else 1):
                size = len(content) // 3
                file.write(content[part * size : (part + 1) * size])
                file.flush()
                # The file stands still for longer than between two looks, without its end.
                time.sleep(2.5 * poll if step in (20, 60) else 0)
            file.write(content[(3 if step in (20, 60) else 1) * size :])
        (folder / "net_last.pt").write_bytes(content)
        time.sleep(0.3 * poll)
        with torch.no_grad():
            for weight in network.parameters():
                weight += 0.3 * torch.randn_like(weight)
    """
)


def contents(run: Path) -> dict[str, bytes]:
    files = (path for path in sorted(run.rglob("*")) if path.is_file())
    skipped = ("manifest.json", "journal.jsonl", "report.html")
    return {str(p.relative_to(run)): p.read_bytes() for p in files if p.name not in skipped}


def explained(run: Path) -> list[int]:
    """Return the steps in the order in which they were explained."""
    lines = (run / "journal.jsonl").read_text().splitlines()
    return [json.loads(line.partition(" ")[2])["step"] for line in lines]


@pytest.mark.slow
def test_beside_a_training_process(
    vectors: Vectors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {"workers": 2, "keep": "none", "target": "final"}
    folder, out = tmp_path / "ckpts", tmp_path / "run"
    folder.mkdir()
    command = [sys.executable, "-c", TRAINING, str(folder), "0.4"]
    with subprocess.Popen(command) as training:
        run = lrpdyn.compute(folder, vectors, out=out, arch_args=TANH, follow=True, poll=0.4,
                             idle=8.0, **options)  # fmt: skip
        assert training.wait() == 0
    steps = list(range(0, 120, 10))
    assert explained(out) == steps
    assert list(run.steps) == steps
    said = " ".join(capsys.readouterr().err.split())
    assert "no new checkpoint for 8 seconds" in said
    assert "Following: target final: held as step " in said
    np.save(tmp_path / "units.npy", np.array(run.manifest["target"]["values"]))
    options["target"] = str(tmp_path / "units.npy")
    for name in ("dynamics.png", "dynamics.txt"):  # they say what was asked
        (out / "figures" / name).unlink()
    one = lrpdyn.compute(
        folder, vectors, out=tmp_path / "one", arch_args=TANH, quiet=True, **options
    )
    assert contents(out).items() <= contents(one.path).items()


@pytest.mark.slow
def test_interrupted_and_gone_on_with(vectors: Vectors, tmp_path: Path) -> None:
    folder, out = tmp_path / "ckpts", tmp_path / "run"
    folder.mkdir()
    np.save(tmp_path / "obs.npy", vectors)
    command = [sys.executable, "-m", "lrpdyn", "compute", str(folder), str(tmp_path / "obs.npy"),
               "--arch-arg", "activation=tanh", "-o", str(out), "--follow", "--poll", "0.2"]  # fmt: skip
    training = subprocess.Popen([sys.executable, "-c", TRAINING, str(folder), "0.2"])
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        while not (out / "metrics.csv").exists():
            assert it.poll() is None
            time.sleep(0.05)
        it.send_signal(signal.SIGINT)
        said, errors = it.communicate(timeout=60)
    assert (it.returncode, said.strip()) == (0, str(out))
    assert "Traceback" not in errors
    assert (out / "report.html").stat().st_size > 100_000
    there = lrpdyn.open_run(out).steps
    assert len(there) > 1
    training.wait()
    stopped = subprocess.run([*command, "--until", "110", "-q"], check=False, timeout=120)
    assert stopped.returncode == 1  # until is a part of the question
    assert subprocess.run([*command, "--idle", "2", "-q"], check=False, timeout=120).returncode == 0
    assert explained(out) == list(range(0, 120, 10))
    one = lrpdyn.compute(folder, vectors, out=tmp_path / "one", arch_args=TANH, quiet=True)
    assert contents(out) == contents(one.path)


@pytest.mark.slow
def test_until_a_step_and_what_is_damaged(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"arch_args": TANH, "quiet": True, "follow": True, "poll": 0.05}
    run = lrpdyn.compute(mlp_folder, vectors, out=tmp_path / "until", until=20, **options)
    assert run.steps == (2, 4, 10, 20)
    content = bytearray((mlp_folder / "net_10.pt").read_bytes())
    weights = torch.load(mlp_folder / "net_10.pt", weights_only=True)["0.weight"].numpy().tobytes()
    content[content.index(weights)] ^= 1  # its container has its end, its weights are others
    (mlp_folder / "net_10.pt").write_bytes(content)
    (mlp_folder / "net_4.pt").write_bytes(content[:-30])
    out = tmp_path / "run"
    with pytest.raises(CheckpointError, match=r"2 of 5 .*net_10.pt.*net_4.pt"):
        lrpdyn.compute(mlp_folder, vectors, out=out, idle=0.5, **options)
    assert lrpdyn.open_run(out).steps == (2, 20, 30)
    skipping = {**options, "skip_bad": True}
    run = lrpdyn.compute(mlp_folder, vectors, out=tmp_path / "skipped", idle=0.5, **skipping)
    one = lrpdyn.compute(mlp_folder, vectors, out=tmp_path / "one", quiet=True, skip_bad=True,
                         arch_args=TANH)  # fmt: skip
    assert contents(run.path) == contents(one.path)


@pytest.mark.slow
@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_first_checkpoint_that_is_damaged_inside_is_put_aside(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, skip_bad: bool
) -> None:
    first = mlp_folder / "net_2.pt"
    content = bytearray(first.read_bytes())
    weights = torch.load(first, weights_only=True)["0.weight"].numpy().tobytes()
    content[content.index(weights)] ^= 1  # its container has its end, its weights are others
    folder = tmp_path / "ckpts"
    folder.mkdir()
    (folder / first.name).write_bytes(content)
    others = threading.Timer(1.0, shutil.copytree, (mlp_folder, folder),
                             {"dirs_exist_ok": True, "ignore": lambda *_: [first.name]})  # fmt: skip
    others.start()
    options: dict[str, Any] = {"arch_args": TANH, "quiet": True, "skip_bad": skip_bad}
    out = tmp_path / "run"
    follow = {**options, "follow": True, "poll": 0.05, "idle": 3.0}
    if skip_bad:
        lrpdyn.compute(folder, vectors, out=out, **follow)
        one = lrpdyn.compute(folder, vectors, out=tmp_path / "one", **options)
        assert contents(out) == contents(one.path)
        assert (
            lrpdyn.open_run(out).manifest["checkpoints"][0]["reason"]
            == (one.manifest["checkpoints"][0]["reason"])
        )
    else:
        with pytest.raises(CheckpointError, match=r"1 of 5 .*net_2.pt"):
            lrpdyn.compute(folder, vectors, out=out, **follow)
    others.join()
    assert lrpdyn.open_run(out).steps == (4, 10, 20, 30)


def test_a_damaged_checkpoint_at_until_is_waited_for_and_then_the_end(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "PATIENCE", 1.0)
    last = mlp_folder / "net_30.pt"
    last.write_bytes(last.read_bytes()[:-30])
    options: dict[str, Any] = {"arch_args": TANH, "quiet": True, "follow": True, "poll": 0.05}
    started = time.monotonic()
    with pytest.raises(CheckpointError, match=r"1 of 5 .*net_30.pt"):
        lrpdyn.compute(mlp_folder, vectors, out=tmp_path / "run", until=30, **options)
    assert time.monotonic() - started > 1.0
    assert lrpdyn.open_run(tmp_path / "run").steps == (2, 4, 10, 20)


def test_sigint_where_a_copy_lies_between(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    one = lrpdyn.compute(mlp_folder, vectors, out=tmp_path / "one", arch_args=TANH, quiet=True)
    expected = contents(one.path)
    for path in mlp_folder.iterdir():
        state = {"state_dict": torch.load(path, weights_only=True), "global_step": _number(path)}
        torch.save(state, path)
    best = {"state_dict": torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(),
            torch.nn.Linear(8, 3)).state_dict(), "global_step": 15}  # fmt: skip
    torch.save(best, mlp_folder / "net_best.pt")

    def interrupt() -> None:
        while not (out / "metrics.csv").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    run = lrpdyn.compute(mlp_folder, vectors, out=out, arch_args=TANH, follow=True, poll=0.05)
    thread.join()
    assert run.steps == (2, 4, 10, 20, 30)
    assert contents(out) == expected
    assert "not explained: net_best.pt; the same command goes on" in capfd.readouterr().err
    run = lrpdyn.compute(mlp_folder, vectors, out=out, arch_args=TANH, quiet=True)
    assert run.steps == (2, 4, 10, 15, 20, 30)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_checkpoint_that_is_written_again_after_it_was_explained(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, replaced: bool
) -> None:
    out, path = tmp_path / "run", mlp_folder / "net_10.pt"

    def write_again() -> None:
        while not (out / "metrics.csv").exists():
            time.sleep(0.02)
        path.write_bytes((mlp_folder / f"net_{4 if replaced else 10}.pt").read_bytes())
        time.sleep(0.2)
        (mlp_folder / "net_30.pt").rename(mlp_folder / "net_50.pt")

    thread = threading.Thread(target=write_again)
    thread.start()
    options: dict[str, Any] = {"arch_args": TANH, "quiet": True, "follow": True, "poll": 0.3}
    if replaced:
        with pytest.raises(RunError, match=r"net_10.pt: changed since .*--recompute 10"):
            lrpdyn.compute(mlp_folder, vectors, out=out, until=50, **options)
    else:
        lrpdyn.compute(mlp_folder, vectors, out=out, until=50, **options)
    thread.join()
    assert explained(out) == [2, 4, 10, 20, 30, 50]
    assert lrpdyn.open_run(out).steps == (2, 4, 10, 20, 30, 50)


@pytest.mark.slow
def test_results_that_take_longer_than_idle(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, content = follow.finish, (mlp_folder / "net_4.pt").read_bytes()

    def slowly(*given: Any) -> None:
        finish(*given)
        (mlp_folder / "net_40.pt").write_bytes(content)
        time.sleep(1.5)

    monkeypatch.setattr(follow, "finish", slowly)
    run = lrpdyn.compute(mlp_folder, vectors, out=tmp_path / "run", arch_args=TANH, quiet=True,
                         follow=True, poll=0.2, idle=1.0)  # fmt: skip
    assert run.steps == (2, 4, 10, 20, 30, 40)


def test_a_glob_that_nothing_matches_for_a_while(mlp_folder: Path, tmp_path: Path) -> None:
    watch = Watch(mlp_folder / "*.pt", Selection(), 0.05, trust=False)
    watch.look()
    (aside := tmp_path / "aside").mkdir()
    paths = list(mlp_folder.iterdir())
    for path in paths:
        path.rename(aside / path.name)
    assert watch.look().checkpoints == ()
    for path in paths:
        (aside / path.name).rename(path)
    watch.look()
    time.sleep(0.06)
    assert len(watch.look().checkpoints) == 5


def _number(path: Path) -> int:
    return int(path.stem.partition("_")[2])


def test_what_is_being_written_at_the_end_is_told(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, ended = (mlp_folder / "net_30.pt").read_bytes(), threading.Event()
    growing = mlp_folder / "net_40.pt"

    def write() -> None:
        with growing.open("wb", buffering=0) as file:
            for byte in content:
                file.write(bytes([byte]))
                if ended.wait(0.02):
                    return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        run = lrpdyn.compute(mlp_folder, vectors, out=tmp_path / "run", arch_args=TANH, follow=True,
                             poll=0.3, idle=1.0)  # fmt: skip
    finally:
        ended.set()
        thread.join()
    assert run.steps == (2, 4, 10, 20, 30)
    assert "not explained: net_40.pt (is being written); the same" in capsys.readouterr().err


@pytest.mark.slow
def test_checkpoints_that_training_deletes_stay_explained(vectors: Vectors, tmp_path: Path) -> None:
    folder = tmp_path / "ckpts"
    folder.mkdir()
    network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    script = textwrap.dedent(
        """
        import shutil, sys, time
        from pathlib import Path
        folder, run = Path(sys.argv[1]), Path(sys.argv[2])
        for step in (20, 30):
            while not (run / "relevance" / f"step_{step - 10:012d}.npy").exists():
                time.sleep(0.02)
            (folder / f"net_{step - 10}.pt").rename(folder / f"net_{step}.pt")
        """
    )
    torch.save(network.state_dict(), folder / "net_10.pt")
    command = [sys.executable, "-c", script, str(folder), str(tmp_path / "run")]
    with subprocess.Popen(command) as training:
        run = lrpdyn.compute(folder, vectors, out=tmp_path / "run", arch_args=TANH, quiet=True,
                             follow=True, poll=0.1, idle=3.0)  # fmt: skip
        training.wait()
    assert run.steps == (10, 20, 30)
    assert [path.name for path in folder.iterdir()] == ["net_30.pt"]


def test_refusals(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    options: dict[str, Any] = {"arch_args": TANH, "quiet": True, "follow": True, "poll": 0.05}
    out = tmp_path / "run"
    for given, says in [
        ({"shard": "1/2"}, "--shard: cannot be with --follow"),
        ({"limit": 3}, "--limit: cannot be with --follow"),
        ({"idle": 0.0}, "--idle 0.0: expected seconds above 0"),
        ({"poll": float("inf")}, "--poll inf: expected seconds above 0"),
    ]:
        with pytest.raises(UsageError, match=says):
            lrpdyn.compute(mlp_folder, vectors, out=out, **{**options, **given})
    with pytest.raises(UsageError, match="--idle: only with --follow"):
        lrpdyn.compute(mlp_folder, vectors, out=out, **{**options, "follow": False, "idle": 3.0})
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CheckpointError, match=r"empty: no checkpoint was written while"):
        lrpdyn.compute(empty, vectors, out=out, idle=0.2, **options)
    (empty / "net_1.pt").write_bytes((mlp_folder / "net_2.pt").read_bytes()[:-30])
    with pytest.raises(CheckpointError, match=r"1 of 1 .*net_1.pt: is a zip without its end"):
        lrpdyn.compute(empty, vectors, out=out, idle=0.2, **options)
    with pytest.raises(CheckpointError, match=r"no checkpoint up to --until 1 can be used"):
        lrpdyn.compute(mlp_folder, vectors, out=out, until=1, **options)
    with pytest.raises(CheckpointError, match="no such folder"):
        lrpdyn.compute(tmp_path / "none", vectors, out=out, idle=0.2, **options)


def test_entries_that_stand_still_are_read_once(
    mlp_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lrpdyn.checkpoints import discovery

    reads = []
    read_header = discovery.read_header

    def counted(path: Path, *given: Any, **named: Any) -> Any:
        reads.append(path.name)
        return read_header(path, *given, **named)

    monkeypatch.setattr(discovery, "read_header", counted)
    watch = Watch(mlp_folder, Selection(), 0.05, trust=False)
    assert watch.look().checkpoints == ()
    time.sleep(0.06)
    for _ in range(3):
        assert [checkpoint.step for checkpoint in watch.look().checkpoints] == [2, 4, 10, 20, 30]
    assert len(reads) == 5
    (mlp_folder / "net_30.pt").touch()
    assert [checkpoint.step for checkpoint in watch.look().checkpoints] == [2, 4, 10, 20]


def test_sigterm_stops_with_what_is_explained_kept(vectors: Vectors, tmp_path: Path) -> None:
    folder, out = tmp_path / "ckpts", tmp_path / "run"
    folder.mkdir()
    np.save(tmp_path / "obs.npy", vectors)
    network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    torch.save(network.state_dict(), folder / "net_1.pt")
    command = [sys.executable, "-m", "lrpdyn", "compute", str(folder), str(tmp_path / "obs.npy"),
               "--arch-arg", "activation=tanh", "-o", str(out), "--follow", "--poll", "0.1"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        while not (out / "journal.jsonl").exists():
            assert it.poll() is None
            time.sleep(0.05)
        it.send_signal(signal.SIGTERM)
        said, errors = it.communicate(timeout=60)
    assert (it.returncode, said) == (143, "")
    assert "Stopped. 1 of 1 steps are finished and kept" in errors
    assert explained(out) == [1]
    assert not (out / ".lock").exists()


def test_results_are_made_by_all_workers_and_the_profile_is_printed(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for path in mlp_folder.iterdir():
        os.utime(path, (1e9, 1e9))
    asked = []

    def shared(function: Any, pieces: Any, workers: int, ahead: int | None = None) -> Any:
        asked.append(workers)
        return in_order(function, pieces, workers, ahead)

    monkeypatch.setattr("lrpdyn.pipeline.results.checks.in_order", shared)
    lrpdyn.compute(mlp_folder, vectors, out=tmp_path / "run", arch_args=TANH, follow=True, poll=0.1,
                   idle=0.2, workers=2, profile=True)  # fmt: skip
    assert asked
    assert set(asked) == {2}
    said = capsys.readouterr().err
    (explaining,) = (line for line in said.splitlines() if line.startswith("  explaining "))
    assert float(explaining.split()[-1]) > 0
    (checks,) = (line for line in said.splitlines() if line.startswith("  checks and figure"))
    assert float(checks.split()[-1]) > 0
