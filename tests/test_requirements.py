"""A run that cannot fit is refused before it starts, with what needs less; one that fits never is."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lrpdyn import array_files, requirements, resources
from lrpdyn.array_files import load_npy, map_npy
from lrpdyn.errors import RunError
from lrpdyn.resources import free_space, usable_memory
from tests.test_pipeline import Vectors, mlp_run


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


def test_memory_is_asked_before_the_start(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "usable_memory", lambda: 16 * vectors.size - 1)
    with pytest.raises(RunError, match=r"5 observations take 480 bytes.*may use 479.*--samples"):
        mlp_run(mlp_folder, vectors, tmp_path / "run")
    monkeypatch.setattr(requirements, "usable_memory", lambda: 16 * vectors.size)
    mlp_run(mlp_folder, vectors, tmp_path / "run")


def test_limits_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_space(tmp_path / "not" / "there") == pytest.approx(free_space(tmp_path), rel=0.2)
    most = usable_memory()
    assert most >= 1 << 28
    script = "from lrpdyn.resources import usable_memory; print(usable_memory())"
    limited = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (1 << 27, 1 << 27)),
    )  # fmt: skip
    assert int(limited.stdout) == 1 << 27
    groups = tmp_path / "groups"
    (groups / "batch" / "job").mkdir(parents=True)
    (groups / "batch" / "memory.max").write_text("4096\n")
    (groups / "batch" / "job" / "memory.max").write_text("max\n")
    monkeypatch.setattr(resources, "_CGROUPS", groups)
    monkeypatch.setattr(resources, "_group_lines", lambda: ["0::/batch/job"])
    assert usable_memory() == 4096


def test_an_array_larger_than_memory_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(100))
    monkeypatch.setattr(array_files, "usable_memory", lambda: 799)
    monkeypatch.setattr(array_files, "_ALWAYS_ALLOWED", 100)
    assert map_npy(path).shape == (100,)
    with pytest.raises(ValueError, match="has 800 bytes, and this process may use 799"):
        load_npy(path)
