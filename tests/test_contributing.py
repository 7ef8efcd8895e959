"""What CONTRIBUTING.md shows works as it stands there, and CITATION.cff names this version."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from torch import nn

import lrpdyn
from lrpdyn.architectures import model
from lrpdyn.architectures.registry import ARCHITECTURES, resolve
from lrpdyn.checkpoints import containers, readers
from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.model import Header
from lrpdyn.cli.outliers import command as outliers_command
from lrpdyn.cli.plot import command as plot_command
from lrpdyn.dynamics import columns
from lrpdyn.figures import kinds
from lrpdyn.lrp import registry, rules
from lrpdyn.outliers.causes import CAUSES
from tests.lrp import formulae
from tests.lrp.test_rules import LAYERS, Layer

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def snippets(heading: str) -> list[str]:
    """Return the Python of one section, at most twenty lines each but for blank ones."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert found
    assert all(sum(bool(line.strip()) for line in code.splitlines()) <= 20 for code in found)
    return found


def names_in(code: str, *modules: Any, **more: Any) -> dict[str, Any]:
    """Run code that stands in a file beside others, and return its names."""
    namespace = {"__name__": "snippet", **more}
    for module in modules:
        namespace.update({key: value for key, value in vars(module).items() if key[:2] != "__"})
    exec(code, namespace)
    return namespace


@pytest.mark.parametrize("layer", LAYERS)
def test_the_rule(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule, definition, formula = snippets("A rule")
    function = names_in(rule, rules)["absolute"]
    monkeypatch.setattr(rules, "absolute", function, raising=False)
    monkeypatch.setattr(registry, "RULES", {**registry.RULES})
    names_in(definition, registry, RULES=registry.RULES)
    monkeypatch.setitem(formulae.FORMULAE, "absolute", names_in(formula, formulae)["by_absolute"])
    case = Layer(layer, bias=True, positive=False)
    w, b = formulae.as_matrix(case.layer, tuple(case.x.shape[1:]))
    expected = formulae.FORMULAE["absolute"](w, b, case.x.flatten(1), case.upper.flatten(1))
    assert torch.allclose(case.explained("absolute").flatten(1), expected, atol=1e-9)
    assert registry.RULES["absolute"].summary == "Share by |x w|, whatever its sign."
    assert registry.parse_rule("absolute").about()["usual_sum"].startswith("1, for the shares")
    assert registry.shows_support_only("absolute")


def test_the_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = snippets("An architecture")
    found = names_in(code, model, nn=nn)["ARCHITECTURE"]
    monkeypatch.setitem(ARCHITECTURES, found.name, found)
    network = found.factory(channels=3, features=128, actions=5)
    assert network.path("policy")(torch.zeros(2, 3, 6, 6)).shape == (2, 5)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    resolved = resolve(None, {}, Header(shapes), "a file")
    assert resolved.architecture.name == "small-net"
    assert resolved.arguments == {"channels": 3, "features": 128, "actions": 5}


def test_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = snippets("A reader")
    reader = names_in(code, containers, readers, np=np, torch=torch)["READER"]
    monkeypatch.setattr(readers, "READERS", (*readers.READERS, reader))
    for step in (10, 9):
        np.savez(tmp_path / f"net_{step}.npz", weight=np.full((2, 3), step, dtype=np.float32))
    listing = discover(tmp_path)
    assert [(c.step, c.format) for c in listing.checkpoints] == [(9, "npz"), (10, "npz")]
    assert listing.checkpoints[0].header.shapes == {"weight": (2, 3)}
    weights, digest = readers.read_weights(tmp_path / "net_9.npz", "npz")
    assert weights["weight"].tolist() == [[9.0] * 3] * 2
    assert digest == containers.digest_of("xxh3_128", tmp_path / "net_9.npz")


def explained(folder: Path) -> lrpdyn.Run:
    """Return a run of two small networks, the second of which is twelve times the first."""
    checkpoints = folder / "ckpts"
    checkpoints.mkdir()
    for step in (1, 12):
        network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        weights = {key: torch.full_like(value, 0.5) for key, value in network.state_dict().items()}
        weights["2.weight"][0] *= 2 * step
        torch.save(weights, checkpoints / f"net_{step}.pt")
    return lrpdyn.compute(
        checkpoints, np.ones((2, 3), dtype=np.float32), out=folder / "run", workers=1, quiet=True,
        baseline="none", arch_args={"activation": "relu"},
    )  # fmt: skip


def test_the_measure_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = snippets("A measure column")
    monkeypatch.setattr(columns, "COLUMNS", [*columns.COLUMNS])
    names_in(code)
    run = explained(tmp_path)
    size = np.abs(run.relevance[12])
    assert run.metrics.dtype.names[-1] == "largest_share"
    assert run.metrics["largest_share"][2:] == pytest.approx(size.max(axis=1) / size.sum(axis=1))


def test_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = snippets("A cause")
    length = len(CAUSES)
    try:
        names_in(code)
        run = explained(tmp_path)
        printed = CliRunner().invoke(outliers_command, [str(run.path), "--details"]).stdout
    finally:
        del CAUSES[length:]
    found = {c["cause"]: c for entry in run.outliers["pathologies"] for c in entry["causes"]}
    assert found["high_score"]["evidence"].startswith("score ")
    assert "the score is above ten. Look at the last layer's weights." in " ".join(printed.split())


def test_the_figure_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = snippets("A figure kind")
    kind = names_in(code)["KIND"]
    monkeypatch.setitem(kinds.KINDS, kind.name, kind)
    run = explained(tmp_path)
    drawn = CliRunner().invoke(plot_command, [str(run.path), "--kind", "score"])
    picture = run.path / "figures" / "score.png"
    assert drawn.stdout.split() == [str(picture)]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "the score of the first sample" in CliRunner().invoke(plot_command, ["--help"]).stdout
    (run.path / "figures" / "score_of_mine.png").touch()
    lrpdyn.compute(
        tmp_path / "ckpts", np.zeros((1, 3), dtype=np.float32), out=run.path, overwrite=True,
        workers=1, quiet=True, arch_args={"activation": "relu"},
    )  # fmt: skip
    assert not picture.exists()
    assert (run.path / "figures" / "score_of_mine.png").exists()


@pytest.mark.slow
def test_the_option(tmp_path: Path) -> None:
    field, option = snippets("An option")
    package = tmp_path / "lrpdyn"
    shutil.copytree(ROOT / "lrpdyn", package, ignore=shutil.ignore_patterns("__pycache__"))
    insert(package / "pipeline/setup/options.py", field, before="\n    def __post_init__")
    insert(package / "cli/compute.py", option, before="@config")
    run = explained(tmp_path)

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "lrpdyn", "compute", *arguments]
        return subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)

    np.save(tmp_path / "obs.npy", np.ones((2, 3), dtype=np.float32))
    assert "--note TEXT" in command("--help-all").stdout
    job = ["ckpts", "obs.npy", "-o", "noted", "--arch-arg", "activation=relu", "-q"]
    done = command(*job, "--note", "the first")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "noted" / "manifest.json").read_text())
    assert manifest["note"] == "the first"
    assert "note" not in run.manifest
    other = command(*job, "--note", "the second")
    assert other.returncode == 1
    assert "another question: note (the first there, the second here)" in other.stderr


def insert(file: Path, lines: str, *, before: str) -> None:
    text = file.read_text()
    assert text.count(before) == 1
    file.write_text(text.replace(before, lines + before))


def test_each_addition_is_shown_and_its_files_are_there() -> None:
    section = TEXT.partition("## What each addition touches")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (an? [^|]+?) \| (\d) \| (.*) \|$", section, re.MULTILINE)
    assert len(rows) == 7
    for name, count, files in rows:
        heading = name.removesuffix(" of `compute`").capitalize()
        assert f"\n## {heading}\n" in TEXT
        places = re.findall(r"`([\w./]+)`", files)
        assert len(places) == int(count)
        assert all((ROOT / "lrpdyn" / place).exists() for place in places)


def test_the_commands_are_those_of_ci() -> None:
    commands = re.findall(r"\.venv/bin/[^&\n]+", TEXT.partition("## The rooms")[0])
    checked = {command.strip() for command in commands} - {".venv/bin/pre-commit install"}
    run = (ROOT / ".ci" / "run").read_text() + (ROOT / "README.md").read_text()
    assert len(checked) == 7
    assert all(command in run for command in checked)


def test_a_commit_is_checked_by_the_linters_of_ci() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if line in {hook["entry"] for hook in hooks}] == [
        hook["entry"] for hook in hooks
    ]


def test_the_rooms_are_those_of_the_layers() -> None:
    rows = TEXT.partition("## The rooms")[2].partition("\n\nA change")[0]
    named = {
        name.rstrip("/").removesuffix(".py")
        for row in re.findall(r"^\| (`.*?) \|", rows, re.MULTILINE)
        for name in re.findall(r"`([\w./]+)`", row)
    }
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ][0]["layers"]
    assert named == {room for layer in layers for room in re.split(r" [|:] ", layer)}
    assert all(
        (ROOT / "lrpdyn" / f"{room}.py").exists() or (ROOT / "lrpdyn" / room).is_dir()
        for room in named
    )


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == lrpdyn.__version__
    assert citation["license"] == project["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
