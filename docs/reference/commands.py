"""Fill the page of the commands with the help that the program itself prints; a hook of MkDocs."""

from __future__ import annotations

from typing import Any

from click.testing import CliRunner

from lrpdyn.cli.main import group
from lrpdyn.cli.names import GROUPS


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Return the page with every command's whole help in place of ``<!-- commands -->``."""
    if page.file.src_uri != "reference/commands.md":
        return markdown
    placeholder = "<!-- commands -->"
    if placeholder not in markdown:
        raise ValueError(f"{page.file.src_uri}: no place for commands")
    return markdown.replace(placeholder, commands())


def commands() -> str:
    """Return the commands under their groups, each with its help, 80 columns wide."""
    parts = []
    for title, names in GROUPS.items():
        parts.append(f"## {title}")
        parts += [f"### {name}\n\n```text\n{_help_of(name)}```" for name in names]
    return "\n\n".join(parts)


def _help_of(name: str) -> str:
    runner = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"})
    return runner.invoke(
        group, ["help", name, "--all"], prog_name="lrpdyn", catch_exceptions=False
    ).output
