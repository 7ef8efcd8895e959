"""lrpdyn compare."""

from __future__ import annotations

from pathlib import Path

import click

from lrpdyn.cli import options


@click.command("compare", short_help="Hold two or more runs side by side.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.output_format("table", "json")
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True,
              help="Outliers in the table.")  # fmt: skip
@options.verbosity
def command(runs: tuple[Path, ...], form: str, top: int, quiet: bool) -> None:
    """Hold RUNS side by side: the same samples under other rules, seeds, heads, targets, normalisations.

    An outlier that stands in all of them is real; one that stands in one of them is an artefact of
    what differs, or there by chance.
    """
    from lrpdyn.api import open_run
    from lrpdyn.run.comparison import as_json, as_table, compare

    found = compare([open_run(run) for run in runs])
    click.echo(as_json(found) if form == "json" else as_table(found, top))
