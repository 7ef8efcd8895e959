"""The code in a page of the documentation, and a shell script that runs it in the order of the page.

A block is a fence with a language. ``sh`` and ``python`` are run, each Python block as a program of its
own; one with a title (``python title="train.py"``) is written to that file instead, in whatever
language. ``text`` is output. ``<!-- not run: REASON -->`` above a block leaves it out.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?$")
_NOT_RUN = re.compile(r"^<!-- not run: .+ -->$")


@dataclass(frozen=True)
class Block:
    """A fence: its language, the file that it is written to, where it stands, and if it is run."""

    language: str
    title: str | None
    text: str
    line: int
    run: bool


def blocks_of(page: Path) -> list[Block]:
    """Return the fences of a page, in order."""
    return list(_blocks(page.read_text(encoding="utf-8").splitlines()))


def _blocks(lines: Sequence[str]) -> Iterator[Block]:
    opened: tuple[int, str, str | None, bool] | None = None
    above = ""
    for number, line in enumerate(lines, 1):
        if opened is not None:
            if line == "```":
                start, language, title, run = opened
                text = "\n".join(lines[start : number - 1])
                yield Block(language, title, text, start, run)
                opened = None
        elif line.startswith("```"):
            found = _FENCE.match(line)
            assert found, f"line {number}: {line} is no fence that is known here"
            opened = (number, found[1], found[2], not _NOT_RUN.match(above))
        above = line or above
    assert opened is None, f"line {opened[0]}: the fence has no end"


def outside_of_blocks(page: Path) -> list[tuple[int, str]]:
    """Return the lines of a page that stand in no fence, with their numbers."""
    lines = page.read_text(encoding="utf-8").splitlines()
    inside = {
        number
        for block in _blocks(lines)
        for number in range(block.line, block.line + len(block.text.splitlines()) + 2)
    }
    return [(number, line) for number, line in enumerate(lines, 1) if number not in inside]


def as_script(blocks: Sequence[Block], folder: Path) -> str:
    """Return the script of a page; write its files into `folder` as far as it needs them."""
    parts = ["set -euo pipefail"]
    for block in blocks:
        if not block.run or (block.language not in {"sh", "python"} and block.title is None):
            continue
        parts.append(f"echo '--- the block at line {block.line}' >&2")
        if block.title is None and block.language == "sh":
            parts.append(block.text)
            continue
        # Beside the folder until its turn: a page may give one file twice.
        source = folder.parent / f"{folder.name}-line-{block.line}"
        source.write_text(block.text + "\n", encoding="utf-8")
        target = shlex.quote(block.title or "block.py")
        parts.append(f"mkdir -p $(dirname {target}) && cp {shlex.quote(str(source))} {target}")
        if block.title is None:
            parts.append("python block.py")
    return "\n".join(parts) + "\n"
