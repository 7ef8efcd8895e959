"""What `compute` and `merge` print at their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lrpdyn.cli.terminal import paragraph, say
from lrpdyn.files.text import printable, terminal_width

if TYPE_CHECKING:
    from lrpdyn.api import Run


def print_summary(run: Run, *, quiet: bool, seconds: float | None = None) -> int:
    """Print a summary on stderr and the folder on stdout; return the exit code."""
    from lrpdyn.run.summary import closing_lines

    if not quiet:
        for line in closing_lines(run, terminal_width(), seconds):
            say(printable(line))
    return print_warnings(run)


def print_warnings(run: Run) -> int:
    """Print warnings on stderr and the folder on stdout; return the exit code."""
    entries = run.manifest["checkpoints"]
    skipped = [entry for entry in entries if entry["status"] == "bad"]
    warnings = [f"Skipped: {entry['reason']}" for entry in skipped]
    warnings += [
        f"Warning: step {entry['step']:,}: {entry['reason']}"
        for entry in entries
        if entry["status"] == "not_finite"
    ]
    for steps in run.manifest.get("weights", {}).get("same", []):
        listed = ", ".join(f"{step:,}" for step in steps[:6]) + " ..." * (len(steps) > 6)
        warnings.append(f"Warning: steps {listed} have the same weights")
    for warning in warnings:
        paragraph(warning)
    click.echo(str(run.path))
    return 3 if skipped else 0
