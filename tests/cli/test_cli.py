"""The commands as a user runs them: whole processes, outputs, exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image


def lrpdyn(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "lrpdyn", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder in which the three commands of the README were run, with nothing else said."""
    folder = tmp_path_factory.mktemp("user")
    np.save(folder / "obs.npy", images)
    result = lrpdyn("compute", ppo_folder, "obs.npy", "--rule", "zplus", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "lrpdyn-run\n"
    assert "question  action preferred at each step, minus the mean" in result.stderr
    assert "negative scores 0 of 16; weak support 0; vanished 0" in result.stderr
    return folder


def test_plot_draws_every_kind(folder: Path) -> None:
    result = lrpdyn("plot", cwd=folder)
    assert result.returncode == 0, result.stderr
    paths = result.stdout.split()
    assert [Path(path).name for path in paths] == [
        "dynamics.png", "filmstrip_sample0.png", "distribution.png", "trajectory.png",
    ]  # fmt: skip
    for path in paths:
        with Image.open(folder / path) as picture:
            assert min(picture.size) > 200
    again = (folder / paths[1]).read_bytes()
    lrpdyn("plot", "--kind", "filmstrip", cwd=folder)
    assert (folder / paths[1]).read_bytes() == again


def test_outliers_in_every_format(folder: Path) -> None:
    stored = json.loads((folder / "lrpdyn-run" / "outliers.json").read_text())
    assert json.loads(lrpdyn("outliers", "--format", "json", cwd=folder).stdout) == stored
    lines = list(
        csv.DictReader(io.StringIO(lrpdyn("outliers", "--format", "csv", cwd=folder).stdout))
    )
    kinds = ("pathologies", "steps", "samples", "pixels", "cells")
    assert len(lines) == sum(len(stored[kind]) for kind in kinds)
    (strongest,) = (row for row in lines if (row["kind"], row["rank"]) == ("pixels", "1"))
    assert float(strongest["value"]) == stored["pixels"][0]["value"]
    assert strongest["row"] == str(stored["pixels"][0]["where"]["row"])
    table = lrpdyn("outliers", "--kind", "cells", "--top", "2", cwd=folder).stdout
    # The callback saves at 16 steps before the first update, which is what the network was at 0.
    assert "duplicate_checkpoint" in table.splitlines()[3]
    assert "all weights are those of step 0" in table
    assert "cells: 12 values (33.3 % zero)" in table
    assert "Training stood still, or a file was copied" in table
    assert "too few to say which is unusual (20 are needed): ranked only" in table
    assert table.count("->") >= 2
    markdown = lrpdyn("outliers", "--format", "markdown", "--kind", "cells", cwd=folder).stdout
    assert "| where | value |" in markdown


def test_asked_again(folder: Path, ppo_folder: Path) -> None:
    result = lrpdyn("compute", ppo_folder, "obs.npy", cwd=folder)
    assert result.returncode == 0
    assert "is finished: 4 steps; nothing to do" in result.stderr


def test_inspect_and_lists(folder: Path, ppo_folder: Path) -> None:
    found = json.loads(lrpdyn("inspect", ppo_folder, "--format", "json", cwd=folder).stdout)
    assert [row["step"] for row in found["checkpoints"]] == [0, 16, 32, 48]
    assert {row["architecture"] for row in found["checkpoints"]} == {"sb3-cnn"}
    assert "num_timesteps" in lrpdyn("inspect", ppo_folder, cwd=folder).stdout
    rules = json.loads(lrpdyn("rules", "--format", "json", cwd=folder).stdout)
    listed = {rule["name"]: rule for rule in rules}
    assert {"zplus", "lrp0", "alpha2beta1", "epsilon-gamma-box", "captum:gamma"} <= set(listed)
    assert listed["alphabeta"]["parameters"] == {"alpha": 2.0, "beta": 1.0}
    assert all(rule["source"] and rule["summary"] for rule in rules if rule["kind"] == "rule")
    assert "cleanrl-ppo-atari" in lrpdyn("architectures", cwd=folder).stdout


def test_config_file(folder: Path, ppo_folder: Path) -> None:
    (folder / "a.toml").write_text('rule = "gamma:0.5"\nout = "from-config"\nskip-bad = true\n')
    result = lrpdyn(
        "compute", ppo_folder, "obs.npy", "--config", "a.toml", "--rule", "gamma", cwd=folder
    )
    assert result.returncode == 0, result.stderr
    manifest = json.loads((folder / "from-config" / "manifest.json").read_text())
    assert manifest["rule"]["parameters"] == {"gamma": 0.25}
    (folder / "b.toml").write_text("roole = 1\n")
    assert (
        "roole" in lrpdyn("compute", ppo_folder, "obs.npy", "--config", "b.toml", cwd=folder).stderr
    )


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


def test_regions_curve_and_compare(folder: Path, ppo_folder: Path) -> None:
    masks = np.zeros((84, 84), dtype=bool)
    masks[40:] = True
    np.savez(folder / "masks.npz", lower=masks)
    (folder / "log.csv").write_text("step,reward\n0,1\n16,2\n32,4\n48,3\n")
    result = lrpdyn(
        "compute", ppo_folder, "obs.npy", "--rule", "gamma", "-o", "other-rule",
        "--regions", "masks.npz", "--fill", "0", "--curve", "log.csv:reward", cwd=folder,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    table = lrpdyn("outliers", "other-rule", "--kind", "cells", cwd=folder).stdout
    assert "regions: share of sum|R|, effect of painting over" in table
    assert "beside log.csv:reward" in table
    assert "effect_lower" in table
    given = lrpdyn("outliers", "--kind", "cells", "--curve", "log.csv:reward", cwd=folder).stdout
    assert "beside log.csv:reward" in given
    assert "agreement of zplus with painting patches over: step 0:" in given
    wrong = lrpdyn("outliers", "--curve", "log.csv:loss", cwd=folder)
    assert (wrong.returncode, "it has step, reward" in wrong.stderr) == (2, True)
    compared = lrpdyn("compare", "lrpdyn-run", "other-rule", "--format", "json", cwd=folder)
    assert [run["rule"] for run in json.loads(compared.stdout)["runs"]] == ["zplus", "gamma:0.25"]
    assert (
        "duplicate_checkpoint" in lrpdyn("compare", "lrpdyn-run", "other-rule", cwd=folder).stdout
    )
    assert lrpdyn("compare", "lrpdyn-run", cwd=folder).returncode == 2
    assert (
        lrpdyn("compute", ppo_folder, "obs.npy", "--regions", "none.npz", cwd=folder).returncode
        == 1
    )


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


def has_ended(group: int) -> bool:
    """Tell whether no process of a group is left, within five seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_fail_on_finds_what_it_looks_for(folder: Path) -> None:
    report = folder / "lrpdyn-run" / "outliers.json"
    content = json.loads(report.read_text())
    other = folder / "other"
    other.mkdir()
    content["totals"]["cells"]["far"] = 1
    (other / "outliers.json").write_text(json.dumps(content))
    assert lrpdyn("outliers", "other", "--fail-on", "far", cwd=folder).returncode == 4
    assert lrpdyn("outliers", "--fail-on", "pathology", cwd=folder).returncode == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["compute", "--help"],
        ["plot"],
        ["outliers"],
        ["compare", "lrpdyn-run", "lrpdyn-run"],
        ["verify"],
    ],
)
def test_light_commands_load_no_torch(folder: Path, arguments: list[str]) -> None:
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
