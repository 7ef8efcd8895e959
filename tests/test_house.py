"""The house: imports between rooms run one way, doors lie at the root, nothing is filled by position."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_imports_keep_the_contracts() -> None:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    found = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    assert "5 kept, 0 broken" in found.stdout


def test_at_most_eight_files_lie_at_the_root() -> None:
    assert len(list((ROOT / "lrpdyn").glob("*.py"))) <= 8


def test_no_dataclass_is_filled_by_position() -> None:
    trees = {path: ast.parse(path.read_text()) for path in (ROOT / "lrpdyn").rglob("*.py")}
    known = {(module(path), name) for path, tree in trees.items() for name in dataclasses_of(tree)}
    assert len(known) > 100
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {call.func.id}"
        for path, tree in trees.items()
        for call in calls_of(tree, {*dataclasses_of(tree), *imported(tree, known)})
        if len(call.args) > 1 and isinstance(call.func, ast.Name)
    ]
    assert found == []


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def dataclasses_of(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        decorators = node.decorator_list if isinstance(node, ast.ClassDef) else []
        if any(ast.unparse(decorator).startswith("dataclass") for decorator in decorators):
            assert isinstance(node, ast.ClassDef)
            yield node.name


def imported(tree: ast.Module, known: set[tuple[str, str]]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (a.asname or a.name for a in node.names if (node.module, a.name) in known)


def calls_of(tree: ast.Module, names: set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield node
