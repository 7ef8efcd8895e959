"""lrpdyn compare."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command, Whole, option
from lrpdyn.files.text import terminal_width


@click.command("compare", cls=Command, short_help="Compare two or more runs side by side.",
               examples=("lrpdyn compare zplus-run gamma-run",
                         "lrpdyn compare seed-*/lrpdyn-run --format json"),
               about={"RUNS": "Two or more folders that lrpdyn compute wrote."})  # fmt: skip
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.output_format("table", "json")
@option("--top", type=Whole(min=1), metavar="N", default=20,
              show_default=True, help="List this number of outliers in the table.")  # fmt: skip
@options.verbosity
def command(runs: tuple[Path, ...], form: str, top: int, quiet: bool) -> None:
    """Compare runs of the same samples under other rules, seeds, heads, targets or normalisations.

    An outlier that all of them have is real; one that a single run has comes from what differs, or is there
    by chance.
    """
    from lrpdyn.api import open_run
    from lrpdyn.comparison.comparison import as_json, as_table, compare

    width = terminal_width() if sys.stdout.isatty() else None
    found = compare([open_run(run) for run in runs])
    click.echo(as_json(found) if form == "json" else as_table(found, top, width))
