"""Completion, variables for options, and the scripts for batches, in real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from click.core import ParameterSource
from numpy.typing import NDArray

from lrpdyn.cli.main import group

ROOT = Path(__file__).parents[2]
#: The command is beside the interpreter; the package is the one of this checkout.
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
}


def commands() -> Iterator[click.Command]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield command


def sample_of(option: click.Option) -> str:
    """Return a value that the option takes, other than its default."""
    if isinstance(option.type, click.Choice):
        return str(option.type.choices[-1])
    if option.is_flag or option.count or isinstance(option.type, click.types.IntParamType):
        return "1" if not isinstance(option.type, click.IntRange) else "7"
    if isinstance(option.type, click.types.FloatParamType):
        return "0.5"
    if option.name == "config":
        return str(ROOT / "configs" / "sb3-atari.toml")
    return "key=value"


@pytest.mark.parametrize("command", list(commands()), ids=lambda command: command.name)
def test_every_option_is_a_variable(
    command: click.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [option for option in command.params if isinstance(option, click.Option)]
    flags = [max(option.opts, key=len) for option in options]
    for option, flag in zip(options, flags, strict=True):
        name = f"LRPDYN_{command.name}_{flag.strip('-').replace('-', '_')}".upper()
        assert option.envvar == name
        monkeypatch.setenv(name, sample_of(option))
    required = ["x"] * sum(parameter.required and not isinstance(parameter, click.Option)
                           for parameter in command.params)  # fmt: skip
    context = command.make_context("lrpdyn", required, obj={})
    for option in options:
        assert option.name is not None
        assert context.get_parameter_source(option.name) == ParameterSource.ENVIRONMENT, option.name


def test_the_command_line_wins_over_a_variable_and_this_over_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = group.get_command(click.Context(group), "compute")
    assert compute is not None
    (tmp_path / "options.toml").write_text("every = 3\nlimit = 5\nbatch-size = 7\n")
    monkeypatch.setenv("LRPDYN_COMPUTE_EVERY", "4")
    monkeypatch.setenv("LRPDYN_COMPUTE_LIMIT", "6")
    arguments = ["a", "b", "--config", str(tmp_path / "options.toml"), "--limit", "9"]
    context = compute.make_context("compute", arguments, obj={})
    found = {name: context.params[name] for name in ("every", "limit", "batch_size")}
    assert found == {"every": 4, "limit": 9, "batch_size": 7}


def test_the_version() -> None:
    import lrpdyn

    told = subprocess.run(
        ["lrpdyn", "--version"], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert told.stdout == f"lrpdyn, version {lrpdyn.__version__}\n"


def test_bash_completes_commands_options_and_choices() -> None:
    script = """
        eval "$(_LRPDYN_COMPLETE=bash_source lrpdyn)"
        complete_line() {
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            _lrpdyn_completion lrpdyn
            echo "${COMPREPLY[*]}"
        }
        complete_line lrpdyn comp
        complete_line lrpdyn compute --contr
        complete_line lrpdyn compute --contrast r
        complete -p lrpdyn
    """
    told = subprocess.run(
        ["bash", "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    *completed, registered = told.stdout.splitlines()
    assert completed == ["compute compare", "--contrast", "runner-up"]
    assert "_lrpdyn_completion lrpdyn" in registered


@pytest.mark.parametrize(
    ("shell", "check"),
    [
        ("zsh", "compdef _lrpdyn_completion lrpdyn"),
        ("fish", "complete --no-files --command lrpdyn"),
    ],
)
def test_the_other_shells_take_what_click_writes(shell: str, check: str, tmp_path: Path) -> None:
    source = subprocess.run(
        ["lrpdyn"], env={**ENVIRONMENT, "_LRPDYN_COMPLETE": f"{shell}_source"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert check in source
    words = {"COMP_WORDS": "lrpdyn outl", "COMP_CWORD": "1" if shell == "zsh" else "outl"}
    told = subprocess.run(
        ["lrpdyn"], env={**ENVIRONMENT, **words, "_LRPDYN_COMPLETE": f"{shell}_complete"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "outliers" in told
    assert "compute" not in told
    if shutil.which(shell):
        (tmp_path / "completion").write_text(source)
        subprocess.run([shell, "-n", tmp_path / "completion"], check=True)


def test_the_loop_over_rules_and_seeds(
    mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    trainings = tmp_path / "trainings"
    shutil.copytree(mlp_folder, trainings / "seed 0")
    np.save(tmp_path / "obs.npy", vectors)
    script = ROOT / "configs" / "batch" / "rules-and-seeds.sh"
    told = {"RULES": "zplus nonsense gamma:0.25", "LRPDYN_COMPUTE_ARCH": "mlp",
            "LRPDYN_COMPUTE_BASELINE": "none", "LRPDYN_COMPUTE_ARCH_ARG": "activation=tanh",
            "LRPDYN_COMPUTE_LIMIT": "3"}  # fmt: skip
    done = subprocess.run(
        [script, trainings, tmp_path / "obs.npy", tmp_path / "runs"],
        env={**ENVIRONMENT, **told}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"not done: {tmp_path / 'runs' / 'seed 0' / 'nonsense'}" in done.stderr
    runs = sorted(
        path.parent.name for path in (tmp_path / "runs" / "seed 0").rglob("manifest.json")
    )
    assert runs == ["gamma_0.25", "zplus"]
    assert "gamma" in (tmp_path / "runs" / "seed 0" / "comparison.txt").read_text()
    assert (tmp_path / "runs" / "seed 0" / "zplus" / "metrics.csv").read_text().count("\n") == 16
