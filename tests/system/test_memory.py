"""Memory and disk that this process may use: the least of all limits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lrpdyn.system import memory


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Control groups in a folder, in which no other limit is less than theirs."""
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "_machine", lambda: 1 << 50)
    monkeypatch.setattr(memory, "_own", list)
    return tmp_path


def test_the_least_limit_of_the_groups_around_this_process(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_group_lines", lambda: ["0::/batch/job/step"])
    inner = groups / "batch" / "job" / "step"
    inner.mkdir(parents=True)
    assert memory.usable_memory() == 1 << 50
    (inner / "memory.max").write_text("max\n")
    (groups / "batch" / "memory.max").write_text("3000\n")
    assert memory.usable_memory() == 3000
    (inner / "memory.max").write_text("2000\n")
    assert memory.usable_memory() == 2000


def test_the_first_version_of_control_groups(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_group_lines", lambda: ["4:cpu,memory:/job", "3:pids:/job"])
    (groups / "memory" / "job").mkdir(parents=True)
    (groups / "memory" / "job" / "memory.limit_in_bytes").write_text("4000\n")
    assert memory.usable_memory() == 4000


@pytest.mark.skipif(sys.platform == "win32", reason="no ulimit")
def test_the_limit_of_the_process_itself() -> None:
    code = (
        "import resource\n"
        "limits = resource.getrlimit(resource.RLIMIT_DATA)\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, limits[1]))\n"
        "from lrpdyn.system.memory import usable_memory\n"
        "print(usable_memory())"
    )
    assert int(subprocess.check_output([sys.executable, "-c", code])) <= 1 << 30


def test_the_space_for_a_folder_that_is_not_made_yet(tmp_path: Path) -> None:
    found = memory.free_space(tmp_path / "not" / "made")
    assert found is not None
    assert found > 0


def test_errors_for_lack_of_memory_are_told_from_others() -> None:
    assert memory.is_out_of_memory(RuntimeError("[enforce fail] can't allocate memory: 8 bytes"))
    assert not memory.is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
