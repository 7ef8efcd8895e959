"""The group of commands: how errors and signals become one line and an exit code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lrpdyn as package
from lrpdyn.cli import main
from lrpdyn.errors import CheckpointError
from tests.cli.processes import has_ended, lrpdyn


def test_the_version(tmp_path: Path) -> None:
    said = lrpdyn("--version", cwd=tmp_path).stdout
    assert said == f"lrpdyn, version {package.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["compute"], 2, "CHECKPOINTS"),
        (["compute", "nowhere", "obs.npy"], 1, "no such folder"),
        (["compute", "{ckpts}", "nothing.npy", "-o", "x"], 1, "no such file"),
        (
            ["compute", "{ckpts}", "obs.npy", "-o", "x", "--rule", "zpluss"],
            2,
            "did you mean zplus",
        ),
        (["compute", "{ckpts}", "obs.npy", "--rule", "epsilon"], 1, "another question"),
        (["compute", "{ckpts}", "obs.npy", "-o", "x", "--arch", "none"], 2, "no architecture"),
        (["compute", "{ckpts}", "obs.npy", "-o", "/proc/x"], 1, "cannot be written"),
        (["outliers", "nowhere"], 1, "holds no finished run"),
        (["outliers", "--kind", "pixel"], 2, "expected steps"),
        (["outliers", "--fail-on", "far"], 0, ""),
        (["plot", "nowhere"], 1, "holds no run"),
        (["plot", "--sample", "4"], 2, "samples 0 to 3"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_wrong_input_is_one_line_with_its_exit_code(
    folder: Path, ppo_folder: Path, arguments: list[str], code: int, says: str
) -> None:
    filled = [argument.format(ckpts=ppo_folder) for argument in arguments]
    result = lrpdyn(*filled, cwd=folder)
    assert result.returncode == code, result.stderr
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert len(errors) == (1 if code else 0)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (CheckpointError("a.pt: cannot be read"), "a.pt: cannot be read"),
        (
            OSError(28, "No space left on device", "run/x"),
            "run/x: No space left on device; mend that",
        ),
        (MemoryError(), "out of memory; fewer observations"),
        (SystemError("returned NULL without setting an exception"), "out of memory; fewer obs"),
        (RuntimeError("CUDA out of memory. Tried"), "out of memory; fewer observations"),
    ],
)
def test_an_error_is_one_line_and_a_traceback_only_where_it_is_wanted(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(main.group, "main", fail)
    assert main._run({"verbose": 0}) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Error: {says}")
    assert main._run({"verbose": 2}) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_the_program_is_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(main.group, "main", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        main._run({"verbose": 0})


@pytest.mark.parametrize("to_all", [False, True])
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_by_a_signal(
    folder: Path, ppo_folder: Path, sent: signal.Signals, code: int, to_all: bool
) -> None:
    out = f"stopped-{code}-{to_all}"
    command = [
        sys.executable, "-m", "lrpdyn", "compute", str(ppo_folder), "obs.npy", "-o", out,
        "--workers", "2",
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while not (folder / out / "manifest.json").exists() and process.poll() is None:
            time.sleep(0.001)
        # A terminal and a batch system signal every process, kill(1) one.
        (os.killpg if to_all else os.kill)(process.pid, sent)
        _, errors = process.communicate()
    assert process.returncode == code
    assert errors.count("the same command goes on") == 1
    assert "Traceback" not in errors
    assert has_ended(process.pid)  # with its workers


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["compute", "--help"],
        ["plot"],
        ["outliers"],
        ["compare", "lrpdyn-run", "copy-of-run"],
        ["verify"],
    ],
)
def test_light_commands_load_no_torch(folder: Path, arguments: list[str], tmp_path: Path) -> None:
    if "copy-of-run" in arguments:
        copy = shutil.copytree(folder / "lrpdyn-run", tmp_path / "copy")
        arguments = [*arguments[:-1], str(copy)]
    code = (
        "import sys, lrpdyn.cli.main as m\n"
        f"sys.argv = ['lrpdyn', *{arguments!r}]\n"
        "try:\n    m.main()\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
        "heavy = {'torch', 'captum', 'scipy'} & set(sys.modules)\n"
        f"arrays = {{'plot', 'compare', 'verify'}} & set({arguments!r})\n"
        "heavy |= set() if arrays else {'numpy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_importing_the_package_loads_no_torch() -> None:
    code = "import lrpdyn, sys; assert 'torch' not in sys.modules; assert callable(lrpdyn.open_run)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
