"""What `compute` and `merge` print at their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lrpdyn.files.text import printable

if TYPE_CHECKING:
    from lrpdyn.api import Run


def print_summary(run: Run, *, quiet: bool) -> int:
    """Print a summary on stderr and the folder on stdout; return the exit code."""
    from lrpdyn.run.summary import closing_lines

    if not quiet:
        for line in closing_lines(run):
            click.echo(printable(line), err=True)
    return print_warnings(run)


def print_warnings(run: Run) -> int:
    """Print warnings on stderr and the folder on stdout; return the exit code."""
    entries = run.manifest["checkpoints"]
    skipped = [entry for entry in entries if entry["status"] == "bad"]
    for entry in skipped:
        click.echo(printable(f"skipped   {entry['reason']}"), err=True)
    for entry in entries:
        if entry["status"] == "not_finite":
            click.echo(f"warning   step {entry['step']:,}: {entry['reason']}", err=True)
    for steps in run.manifest.get("weights", {}).get("same", []):
        listed = ", ".join(f"{step:,}" for step in steps[:6]) + " ..." * (len(steps) > 6)
        click.echo(f"warning   steps {listed} hold the same weights", err=True)
    click.echo(str(run.path))
    return 3 if skipped else 0
