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


#: What the scripts for many runs are told of the networks of `mlp_folder`.
FEW_STEPS = {"LRPDYN_COMPUTE_ARCH": "mlp", "LRPDYN_COMPUTE_ARCH_ARG": "activation=tanh",
             "LRPDYN_COMPUTE_BASELINE": "none", "LRPDYN_COMPUTE_LIMIT": "3"}  # fmt: skip
#: Runs an array's tasks one after the other, and then what depends on it, as Slurm would.
SBATCH = """#!/usr/bin/env bash
set -u
echo "$@" >> "$SBATCH_CALLS"
array=0-0
while [[ $1 == --* ]]; do
    case $1 in --array=*) array=${1#--array=} ;; esac
    shift
done
status=0
for ((task = ${array%-*}; task <= ${array#*-}; task++)); do
    export SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=$((${array#*-} + 1)) SLURM_CPUS_PER_TASK=1
    bash "$@" > "$SBATCH_CALLS.$(basename "$1").$task" 2>&1 || status=$?
done
echo "7$status"
"""


def two_trainings(mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path) -> Path:
    for seed in (0, 1):
        shutil.copytree(mlp_folder, tmp_path / "trainings" / f"seed {seed}")
    np.save(tmp_path / "obs.npy", vectors)
    return tmp_path / "trainings"


def slurm(folder: Path, calls: Path) -> dict[str, str]:
    """Return the environment in which `sbatch` runs its script at once, and keeps what it was called with."""
    folder.mkdir()
    (folder / "sbatch").write_text(SBATCH)
    (folder / "sbatch").chmod(0o755)
    return {"PATH": f"{folder}:{ENVIRONMENT['PATH']}", "SBATCH_CALLS": str(calls)}


@pytest.mark.slow
def test_the_loop_over_rules_and_seeds(
    mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    trainings, out = two_trainings(mlp_folder, vectors, tmp_path), tmp_path / "runs"
    script = ROOT / "configs" / "batch" / "rules-and-seeds.sh"
    told = {"RULES": "zplus nonsense gamma:0.25", **FEW_STEPS}
    done = subprocess.run(
        [script, trainings, tmp_path / "obs.npy", out],
        env={**ENVIRONMENT, **told}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"not done: {out / 'seed 0' / 'nonsense'}" in done.stderr
    runs = sorted(path.parent.name for path in (out / "seed 0").rglob("manifest.json"))
    assert runs == ["gamma_0.25", "zplus"]
    assert (out / "comparison.csv").read_text().count("zplus") >= 2
    assert "gamma" in (out / "comparison.txt").read_text()
    assert (out / "seed 1" / "zplus" / "metrics.csv").read_text().count("\n") == 16


@pytest.mark.slow
def test_an_array_of_runs_on_slurm(
    mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    trainings, out = two_trainings(mlp_folder, vectors, tmp_path), tmp_path / "runs"
    calls = tmp_path / "calls"
    told = {"RULES": "zplus gamma:0.25", **slurm(tmp_path / "bin", calls), **FEW_STEPS}
    script = ROOT / "configs" / "slurm" / "submit-runs.sh"

    def submit() -> str:
        command = [script, trainings, tmp_path / "obs.npy", out, "--quiet"]
        done = subprocess.run(
            command, env={**ENVIRONMENT, **told}, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert submit() == "70\n"  # the job that compares, and it ended well
    array, compare = calls.read_text().splitlines()
    assert "--array=0-3" in array
    assert array.endswith("--quiet")
    assert "--dependency=afterany:70" in compare
    assert (out / "comparison.csv").read_text().count("zplus") >= 2
    kept = {file: file.stat().st_mtime_ns for file in out.rglob("seed 0/*/relevance/*.npy")}
    assert len(kept) == 2 * 3
    shutil.rmtree(trainings / "seed 1")
    shutil.rmtree(out / "seed 1" / "zplus")
    (trainings / "seed 1").mkdir()  # holds no checkpoints: this task fails, the others are compared
    assert submit() == "71\n"
    assert f"not done: {out / 'seed 1' / 'zplus'}" in Path(f"{calls}.compare.sh.0").read_text()
    # What is finished stays as it is.
    assert {file: file.stat().st_mtime_ns for file in out.rglob("seed 0/*/relevance/*.npy")} == kept


@pytest.mark.slow
def test_an_array_of_shards_on_slurm(
    mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    np.save(tmp_path / "obs.npy", vectors)
    calls, out = tmp_path / "calls", tmp_path / "run"
    script = ROOT / "configs" / "slurm" / "submit.sh"
    done = subprocess.run(
        [script, "2", mlp_folder, tmp_path / "obs.npy", out],
        env={**ENVIRONMENT, **slurm(tmp_path / "bin", calls), **FEW_STEPS},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "70\n"
    assert "--dependency=afterok:70" in calls.read_text().splitlines()[1]
    assert len(list((out / "relevance").glob("*.npy"))) == 3
