"""Architectures that other packages offer through the entry-point group."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrpdyn.architectures import registry
from lrpdyn.checkpoints.model import Header
from lrpdyn.errors import ArchitectureError

PLUGIN = """
from torch import nn
from lrpdyn import register_architecture
from lrpdyn.architectures.model import Architecture, never

def register():
    register_architecture("plugin-callable", lambda: nn.Linear(3, 2))

plain = Architecture("plugin-plain", lambda: nn.Linear(4, 2), lambda shapes, hints: {})

def taken():
    register_architecture("mlp", nn.Linear)

number = 3
"""
POINTS = """
[lrpdyn.architectures]
callable = plugin_of_a_test:register
plain = plugin_of_a_test:plain
missing = a_module_that_is_not_there:register
taken = plugin_of_a_test:taken
number = plugin_of_a_test:number
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a package with entry points, as pip lays it out."""
    (tmp_path / "plugin_of_a_test.py").write_text(PLUGIN)
    folder = tmp_path / "plugin_of_a_test-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-of-a-test\nVersion: 1\n")
    (folder / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dict(registry.ARCHITECTURES)
    registry._load_entry_points.cache_clear()
    yield
    registry.ARCHITECTURES.clear()
    registry.ARCHITECTURES.update(before)
    registry._load_entry_points.cache_clear()
    sys.modules.pop("plugin_of_a_test", None)


@pytest.mark.usefixtures("plugin")
def test_entry_points_are_loaded_at_the_first_look() -> None:
    assert "plugin-plain" not in registry.ARCHITECTURES
    header = Header({"weight": (2, 4), "bias": (2,)})
    assert registry.resolve(None, {}, header, "here").architecture.name == "plugin-plain"
    header = Header({"weight": (2, 3), "bias": (2,)})
    assert registry.resolve("plugin-callable", {}, header, "here").arguments == {}


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "No module named 'a_module_that_is_not_there'"),
        ("taken", "an architecture is called 'mlp' already"),
        ("number", "'int' object is not callable"),
    ],
)
def test_a_broken_one_is_listed_as_broken(name: str, reason: str) -> None:
    found = registry.architectures()
    assert found["mlp"].source == "a chain of torch.nn.Linear layers"
    assert f"is broken: {reason}" in found[f"{name} (broken)"].source
    with pytest.raises(ArchitectureError, match=f"entry point {name} = .* is broken"):
        registry.resolve(f"{name} (broken)", {}, Header({}), "here")
