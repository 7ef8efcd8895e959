"""Completion, and the scripts for batches, in real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
#: The command is beside the interpreter; the package is the one of this checkout.
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
}


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
        complete_line lrpdyn compute --rule epsilon-p
        complete_line lrpdyn compute --arch sb3-dqn-c
        complete_line lrpdyn compute --device cu
        complete_line lrpdyn compute --target mo
        complete_line lrpdyn compute --fill bl
        complete_line lrpdyn compute --reference me
        complete_line lrpdyn plot --kind dynamics,fi
        complete_line lrpdyn help ins
        complete -p lrpdyn
    """
    told = subprocess.run(
        ["bash", "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    *completed, registered = told.stdout.splitlines()
    assert completed == [
        "compute compare", "--contrast", "runner-up", "epsilon-plus epsilon-plus-flat", "sb3-dqn-cnn",
        "cuda", "modal", "blurred", "mean", "dynamics,filmstrip", "inspect",
    ]  # fmt: skip
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


@pytest.mark.slow
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
