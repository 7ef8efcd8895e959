"""A run that cannot fit is refused before it starts, with what needs less; one that fits never is."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.dynamics import accumulate, scratch
from lrpdyn.errors import RunError
from lrpdyn.files import streamed
from lrpdyn.pipeline import compute
from lrpdyn.pipeline.setup import requirements
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.system import memory
from lrpdyn.system.memory import free_space, usable_memory
from tests.pipeline.test_compute import Vectors, mlp_run


def written(run: Path) -> int:
    return sum(path.stat().st_size for path in run.rglob("*") if path.is_file())


def test_the_disk_is_asked_before_the_start(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "free_space", lambda folder: 100)
    with pytest.raises(RunError, match=r"write [\d,]+ bytes at least, and 100 are free.*--keep"):
        mlp_run(mlp_folder, vectors, tmp_path / "run")
    assert list(tmp_path.iterdir()) == [mlp_folder]
    monkeypatch.undo()
    asked: list[int] = []
    needed = requirements.bytes_to_write

    def told(job: object) -> int:
        asked.append(needed(job))  # type: ignore[arg-type]
        return asked[-1]

    monkeypatch.setattr(requirements, "bytes_to_write", told)
    run = mlp_run(mlp_folder, vectors, tmp_path / "run").path
    assert 0 < asked[0] < written(run)
    (run / "relevance" / "step_000000000010.npy").unlink()
    mlp_run(mlp_folder, vectors, run, recompute=[10])
    assert asked[1] == vectors.nbytes + 128


@pytest.mark.slow
@pytest.mark.parametrize(("keep", "dtype"), [
    ("relevance", "float32"), ("relevance", "float16"), ("pixels", "float32"), ("none", "float32"),
])  # fmt: skip
def test_what_is_kept_is_what_is_asked_for(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    keep: str, dtype: str,
) -> None:  # fmt: skip
    asked: list[int] = []

    def told(job: Job) -> int:
        asked.append(needed(job))
        return asked[-1]

    needed = requirements.bytes_to_write
    monkeypatch.setattr(requirements, "bytes_to_write", told)
    run = lrpdyn.compute(ppo_folder, images, out=tmp_path / "run", keep=keep, dtype=dtype, quiet=True,
                         baseline="none", faithfulness="none", workers=1)  # fmt: skip
    # The maps that are not kept are gone by now.
    gone = 0 if (keep, dtype) == ("relevance", "float32") else 4 * images.size
    arrays = sum(path.stat().st_size for path in run.path.rglob("*.npy"))
    assert arrays + gone < asked[0] < written(run.path) + gone + 128


def test_a_shard_is_asked_for_less(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def told(job: Job) -> int:
        asked.append(needed(job))
        return asked[-1]

    needed = requirements.bytes_to_write
    monkeypatch.setattr(requirements, "bytes_to_write", told)
    for shard in ("1/2", "2/2"):
        run = mlp_run(mlp_folder, vectors, tmp_path / shard[0], shard=shard).path
        assert 4 * vectors.nbytes < asked[-1] < written(run)


def test_memory_is_asked_before_the_start(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Observations, three of them with their relevance, and the sums: of 5 places, two subtrees.
    needed = 4 * vectors.size + 2 * 4 * 3 * 6 + (8 + 4 + 2 * 4 * 8) * vectors.size
    monkeypatch.setattr(requirements, "usable_memory", lambda: needed - 1)
    with pytest.raises(RunError, match=rf"3 observations .* take {needed:,} bytes.*--batch-size"):
        mlp_run(mlp_folder, vectors, tmp_path / "run", batch_size=3)
    monkeypatch.setattr(requirements, "usable_memory", lambda: needed)
    mlp_run(mlp_folder, vectors, tmp_path / "run", batch_size=3)


def test_memory_does_not_grow_with_the_observations(
    mlp_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def told(job: Job) -> None:
        asked.append((requirements.bytes_to_hold(job), requirements.bytes_to_write(job)))
        raise RunError("enough")

    monkeypatch.setattr(compute, "check_requirements", told)
    for module in (scratch, streamed, accumulate):
        monkeypatch.setattr(module, "LARGEST_IN_MEMORY", 1000)
    for count in (100, 1000):
        many = np.random.default_rng(0).normal(size=(count, 6)).astype(np.float32)
        with pytest.raises(RunError, match="enough"):
            mlp_run(mlp_folder, many, tmp_path / "run")
    (held, _), (still, disk) = asked
    assert held == still == 2 * 4 * 64 * 6
    assert disk > 1000 * 6 * (4 * 12 + 4 * 8 + 2 * 4)


def test_limits_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_space(tmp_path / "not" / "there") == pytest.approx(free_space(tmp_path), rel=0.2)
    most = usable_memory()
    assert most >= 1 << 28
    script = "from lrpdyn.system.memory import usable_memory; print(usable_memory())"
    limited = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (1 << 27, 1 << 27)),
    )  # fmt: skip
    assert int(limited.stdout) == 1 << 27
    groups = tmp_path / "groups"
    (groups / "batch" / "job").mkdir(parents=True)
    (groups / "batch" / "memory.max").write_text("4096\n")
    (groups / "batch" / "job" / "memory.max").write_text("max\n")
    monkeypatch.setattr(memory, "_CGROUPS", groups)
    monkeypatch.setattr(memory, "_group_lines", lambda: ["0::/batch/job"])
    assert usable_memory() == 4096
