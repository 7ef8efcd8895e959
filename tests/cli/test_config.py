"""Options from a file: one that is named, and one that lies in the working folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.cli.processes import lrpdyn


@pytest.fixture
def here(mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path) -> Path:
    (tmp_path / "ckpts").symlink_to(mlp_folder)
    np.save(tmp_path / "obs.npy", vectors)
    return tmp_path


QUICK = (
    'arch-arg = ["activation=tanh"]\narch = "mlp"\nbaseline = "none"\nfaithfulness = "none"\n'
    "interventions = 0\nlimit = 2\nworkers = 1\n"
)


def test_options_of_the_working_folder_are_found_said_and_recorded(here: Path) -> None:
    (here / "lrpdyn.toml").write_text(f'rule = "gamma:0.5"\ntrust = true\n{QUICK}')
    done = lrpdyn("compute", "ckpts", "obs.npy", cwd=here)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert said[0].startswith("options   from lrpdyn.toml: rule, arch-arg, arch,")
    assert "--config none" in said[0]
    assert "trust not taken from a file that was only found; give --trust" in said[1]
    manifest = json.loads((here / "lrpdyn-run" / "manifest.json").read_text())
    assert manifest["rule"]["parameters"] == {"gamma": 0.5}
    assert manifest["config"]["file"] == "lrpdyn.toml"
    assert manifest["config"]["options"]["rule"] == "gamma:0.5"
    assert "trust" not in manifest["config"]["options"]


@pytest.mark.parametrize(
    ("name", "text", "arguments", "says"),
    [
        ("lrpdyn.toml", 'rule = "foo"', [], "no rule is called foo"),
        ("lrpdyn.toml", "rule = ", [], "lrpdyn.toml: is no TOML"),
        ("lrpdyn.toml", "roole = 1", [], "no option is called roole (did you mean rule?)"),
        ("lrpdyn.toml", 'rule = "foo"', ["--rule", "bar"], "no rule is called bar"),
        ("lrpdyn.toml", 'rule = "foo"', ["--config", "none", "--rule", "bar"], "called bar"),
        ("lrpdyn.toml", 'arch = "net.py:Net"', [], "arch net.py:Net would run code"),
        ("pyproject.toml", '[tool.lrpdyn]\nrule = "foo"', [], "no rule is called foo"),
        ("pyproject.toml", "[project]\nname = 'x'", ["--rule", "bar"], "no rule is called bar"),
        (
            "pyproject.toml",
            "[tool.lrpdyn]\nroole = 1",
            [],
            "[tool.lrpdyn] of pyproject.toml: no op",
        ),
        ("mine.toml", 'rule = "foo"', ["--config", "mine.toml"], "no rule is called foo"),
    ],
)
def test_what_a_file_says_is_checked_as_the_command_line_is(
    tmp_path: Path, name: str, text: str, arguments: list[str], says: str
) -> None:
    (tmp_path / name).write_text(text)
    done = lrpdyn("compute", "ckpts", "obs.npy", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert says in line


def test_none_leaves_the_file_out(tmp_path: Path) -> None:
    (tmp_path / "lrpdyn.toml").write_text("roole = 1")
    done = lrpdyn("compute", "ckpts", "obs.npy", "--config", "none", cwd=tmp_path)
    assert "no such folder" in done.stderr
