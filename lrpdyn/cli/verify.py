"""lrpdyn verify."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command
from lrpdyn.cli.terminal import print_row
from lrpdyn.files.text import printable


@click.command("verify", cls=Command, short_help="Check every file of a run against its manifest.",
               examples=("lrpdyn verify", "lrpdyn verify lrpdyn-run --format json"),
               about=options.ABOUT_RUN)  # fmt: skip
@options.run_argument
@options.output_format("table", "json")
@options.verbosity
def command(run: Path, form: str, quiet: bool) -> int:
    """Check every file of a run against the hashes in its manifest.

    Says what is damaged, and the command that makes just that anew. Exits with 1 where anything is
    damaged, or the run is not finished.
    """
    from lrpdyn.run.verify import verify

    found = verify(run)
    if form == "json":
        click.echo(json.dumps(found.as_data(), indent=1))
    else:
        for damage in found.damaged:
            print_row(f"damaged   {damage.file}: {damage.what}")
        if found.missing_steps:
            steps = ", ".join(f"{step:,}" for step in found.missing_steps[:5])
            more = " ..." * (len(found.missing_steps) > 5)
            print_row(
                f"missing   {len(found.missing_steps):,} steps, not explained yet: {steps}{more}"
            )
        click.echo(f"whole     {found.whole:,} files")
        if found.unproven:
            print_row(
                f"unproven  {found.unproven:,} of them, of an earlier version: no hash is known"
            )
        if found.leftovers:
            print_row(
                f"left over {len(found.leftovers):,} temporary files, deleted at the next start"
            )
    if found.command is not None and not quiet:
        click.echo(printable(f"to repair: {found.command}"), err=True)
    return 0 if found.is_good else 1
