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


@pytest.mark.slow
@pytest.mark.skipif(memory._of_libc("mallinfo2") is None, reason="another C library")
def test_the_allocator_of_a_notebook_stays_as_it_was(mlp_folder: Path, tmp_path: Path) -> None:
    program = (
        "import ctypes, sys, numpy, lrpdyn\n"
        "from lrpdyn.system import memory\n"
        "c = ctypes.CDLL(None)\n"
        "c.malloc.restype, c.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]\n"
        "class Info(ctypes.Structure):\n"
        "    _fields_ = [(name, ctypes.c_size_t) for name in 'arena ord sm blocks '\n"
        "                'bytes us fsm ord2 ford keep'.split()]\n"
        "c.mallinfo2.restype = Info\n"
        "def is_from_system():\n"
        "    before = c.mallinfo2().blocks\n"
        "    c.malloc(31 << 20)\n"
        "    return c.mallinfo2().blocks > before\n"
        "lrpdyn.compute(sys.argv[1], numpy.ones((5, 6)), out=sys.argv[2], quiet=True,\n"
        "               arch_args={'activation': 'tanh'}, workers=1)\n"
        "assert is_from_system()\n"
        "memory.keep()\n"
        "assert not is_from_system()\n"
    )
    command = [sys.executable, "-c", program, mlp_folder, tmp_path / "run"]
    subprocess.run(command, check=True)


def test_errors_for_lack_of_memory_are_told_from_others() -> None:
    assert memory.is_out_of_memory(RuntimeError("[enforce fail] can't allocate memory: 8 bytes"))
    assert not memory.is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
