"""What CONTRIBUTING.md shows works as it stands there, and CITATION.cff names this version."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

import lrpdyn
from lrpdyn.architectures import model
from lrpdyn.architectures.registry import ARCHITECTURES, resolve
from lrpdyn.checkpoints import containers, readers
from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.model import Header
from lrpdyn.lrp import registry, rules
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
    weights, sha256 = readers.read_weights(tmp_path / "net_9.npz", "npz")
    assert weights["weight"].tolist() == [[9.0] * 3] * 2
    assert sha256 == containers.sha256_of(tmp_path / "net_9.npz")


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
