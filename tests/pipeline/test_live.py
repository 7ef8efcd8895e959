"""A network explained while it is trained: as from checkpoints of the same training, and none is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import lrpdyn
from lrpdyn.errors import ArchitectureError, CheckpointError, ObservationError, RunError, UsageError
from lrpdyn.pipeline.quantus_input import quantus

Vectors = NDArray[np.float32]
#: Limits, checks and figures take longer than what is tested here.
QUICK: dict[str, Any] = {"faithfulness": "none", "interventions": 0, "quiet": True}
BARE: dict[str, Any] = {**QUICK, "baseline": "none"}


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def trained(seed: int = 0) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    made = network()
    return made, torch.optim.SGD(made.parameters(), lr=0.3)


def update(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Learn to tell the largest of three entries; noise and dropout are drawn as in any training."""
    seen = torch.randn(32, 6)
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(seen), seen[:, :3].argmax(1)).backward()
    optimizer.step()


def test_the_numbers_are_those_of_checkpoints(vectors: Vectors, tmp_path: Path) -> None:
    """Of the same training, which is the same with and without, and leaves no weights on the disk."""
    (tmp_path / "ckpts").mkdir()
    alone, optimizer = trained()
    for step in range(24):
        torch.save(alone.state_dict(), tmp_path / "ckpts" / f"net_{step}.pt")
        update(alone, optimizer)
    expected = lrpdyn.compute(
        tmp_path / "ckpts",
        vectors,
        out=tmp_path / "run",
        arch=f"{__file__}:network",
        workers=1,
        **QUICK,
    )
    watched, optimizer = trained()
    with lrpdyn.Watch(watched, vectors, out=tmp_path / "live", share=1, **QUICK) as watch:
        for step in range(24):
            with (
                torch.inference_mode() if step % 2 else torch.no_grad()
            ):  # as where callbacks are called
                watch.step(step)
            assert watched.training
            update(watched, optimizer)
    for weight, same in zip(watched.parameters(), alone.parameters(), strict=True):
        assert torch.equal(weight, same)
    run = lrpdyn.open_run(tmp_path / "live")
    assert run.steps == expected.steps == tuple(range(24))
    for step in run.steps:
        np.testing.assert_allclose(run.relevance[step], expected.relevance[step], rtol=1e-6, atol=0)
    np.testing.assert_allclose(run.dynamics, expected.dynamics, rtol=1e-6, atol=0)
    for table, other in ((run.metrics, expected.metrics), (run.transitions, expected.transitions)):
        for name in table.dtype.names:
            if table.dtype[name].kind == "U":
                np.testing.assert_array_equal(table[name], other[name], err_msg=name)
            else:
                np.testing.assert_allclose(table[name], other[name], rtol=1e-6, err_msg=name)
    assert {entry["format"] for entry in run.manifest["checkpoints"]} == {"live"}
    assert all(
        len(entry["digest"]) == len("xxh3_128-") + 32 for entry in run.manifest["checkpoints"]
    )
    left = [path for path in (tmp_path / "live").rglob("*") if path.suffix not in
            (".npy", ".json", ".jsonl", ".csv", ".png", ".txt")]  # fmt: skip
    assert [path.name for path in left if path.is_file() and path.name != ".lock"] == []
    assert not (tmp_path / "live" / ".live").exists()


#: A training that is killed after its 12th step, unless it is told otherwise.
TRAINING = textwrap.dedent(
    """
    import os, signal, sys
    import numpy as np
    import lrpdyn
    from tests.pipeline.test_live import QUICK, trained, update
    out, last, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    network, optimizer = trained(seed)
    watch = lrpdyn.Watch(network, np.load("obs.npy"), out=out, share=1, **QUICK)
    for step in range(24):
        watch.step(step)
        update(network, optimizer)
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)
    # Nobody closes it: the end of the program does.
    """
)


def run_training(folder: Path, out: str, *, last: int, seed: int = 0) -> int:
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-c", TRAINING, out, str(last), str(seed)], cwd=folder, check=False,
        env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in found.stderr, found.stderr
    return found.returncode


@pytest.mark.slow
def test_killed_and_gone_on(vectors: Vectors, tmp_path: Path) -> None:
    np.save(tmp_path / "obs.npy", vectors)
    assert run_training(tmp_path, "whole", last=99) == 0
    assert run_training(tmp_path, "parts", last=12) == -signal.SIGKILL
    before = explained(tmp_path / "parts")
    assert before == list(range(13))
    assert run_training(tmp_path, "parts", last=99) == 0
    # The same training again: nothing was explained twice, and every byte is that of one run.
    assert explained(tmp_path / "parts") == list(range(24))
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def explained(run: Path) -> list[int]:
    """Return the steps in the order in which they were explained."""
    lines = (run / "journal.jsonl").read_text().splitlines()
    return [json.loads(line.partition(" ")[2])["step"] for line in lines]


def contents(run: Path) -> dict[str, bytes]:
    files = (path for path in sorted(run.rglob("*")) if path.is_file())
    skipped = ("manifest.json", "journal.jsonl")
    return {str(p.relative_to(run)): p.read_bytes() for p in files if p.name not in skipped}


def test_training_that_goes_on_from_its_own_checkpoint(vectors: Vectors, tmp_path: Path) -> None:
    """Steps before it stay; those after it that have other weights now are explained again."""
    model, optimizer = trained()
    watch = lrpdyn.Watch(model, vectors, out=tmp_path, share=1, **BARE)
    for step in range(12):
        watch.step(step)
        if step == 8:
            state = {key: value.clone() for key, value in model.state_dict().items()}
        update(model, optimizer)
    watch.__exit__(ValueError, None, None)  # the training raised an error
    with pytest.raises(RunError, match="not finished"):
        lrpdyn.open_run(tmp_path)
    first = [(tmp_path / "relevance" / f"step_{step:012d}.npy").read_bytes() for step in range(12)]
    model.load_state_dict(state)
    with lrpdyn.Watch(model, vectors, out=tmp_path, share=1, **BARE) as watch:
        for step in range(8, 14):
            watch.step(step)
            update(model, optimizer)
    run = lrpdyn.open_run(tmp_path)
    assert run.steps == tuple(range(14))
    again = [(tmp_path / "relevance" / f"step_{step:012d}.npy").read_bytes() for step in range(12)]
    assert again[:9] == first[:9]
    assert all(one != other for one, other in zip(again[9:], first[9:], strict=True))


def test_it_keeps_to_its_share_of_the_time(vectors: Vectors, tmp_path: Path) -> None:
    """The first and the last step are explained in any case; the rest as the time of training allows."""
    model, optimizer = trained()
    watch = lrpdyn.Watch(model, vectors, out=tmp_path, every=2, share=0.1, **BARE)
    for step in range(60):
        time.sleep(0.005)
        update(model, optimizer)
        watch.step(step)
    live = watch.close().manifest["live"]
    steps = [entry["step"] for entry in watch.close().manifest["checkpoints"]]
    assert (steps[0], steps[-1]) == (0, 59)
    assert len(steps) + live["skipped"] == 31
    assert live["skipped"] > 5
    # Each step was expected to take what the one before took, and the last one came on top.
    assert live["seconds"] < 0.3 * live["training_seconds"]


def test_what_has_no_checkpoints_says_so(vectors: Vectors, tmp_path: Path, series: Path) -> None:
    model, optimizer = trained()
    with lrpdyn.Watch(model, vectors, out=tmp_path / "live", share=1, **BARE) as watch:
        for step in range(0, 30, 10):
            watch.step(step)
            update(model, optimizer)
    for more in ({}, {"recompute": (10,)}):
        with pytest.raises(RunError, match=r"lrpdyn\.Watch while the network was trained"):
            lrpdyn.compute(
                series, vectors, out=tmp_path / "live", arch_args={"activation": "tanh"},
                pattern="net_[0-2]*.pt", overwrite=False, **more, **BARE,
            )  # fmt: skip
    with pytest.raises(CheckpointError, match="no checkpoint file"):
        quantus(lrpdyn.open_run(tmp_path / "live"), 10)


def test_mistakes_are_named_before_training_begins(vectors: Vectors, tmp_path: Path) -> None:
    model = network()
    for options, said in (
        ({"target": "final"}, "not known before training ends"),
        ({"limit": 3}, "limit: is for lrpdyn.compute"),
        ({"share": 0}, "share 0: expected"),
        ({"every": 0}, "every 0: expected"),
        ({"rule": "no-such-rule"}, "no-such-rule"),
    ):
        with pytest.raises(UsageError, match=said):
            lrpdyn.Watch(model, vectors, out=tmp_path / "run", quiet=True, **options)
    with pytest.raises(ArchitectureError, match="found a OrderedDict"):
        lrpdyn.Watch(model.state_dict(), vectors, out=tmp_path / "run", quiet=True)
    with pytest.raises(ObservationError):
        lrpdyn.Watch(model, vectors[:, :4], out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
    watch = lrpdyn.Watch(model, vectors, out=tmp_path / "run", **BARE)
    watch.step(3)
    with pytest.raises(UsageError, match="step 2 comes after step 3"):
        watch.step(2)
    with pytest.raises(RunError, match="another process"):
        lrpdyn.Watch(model, vectors, out=tmp_path / "run", **BARE)
    with pytest.raises(CheckpointError, match="1 steps explained"):
        watch.close()
