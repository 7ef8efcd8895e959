"""lrpdyn compare."""

from __future__ import annotations

import sys

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command, Whole, option, words_of
from lrpdyn.cli.terminal import say_skipped
from lrpdyn.files.text import terminal_width


@click.command("compare", cls=Command, short_help="Compare two or more runs side by side.",
               examples=("lrpdyn compare zplus-run gamma-run",
                         "lrpdyn compare runs/ --by rule --sort -score",
                         "lrpdyn compare 'runs/seed_*/zplus' --metric change --format csv"),
               about={"RUNS": "Folders that lrpdyn compute wrote, folders of them, patterns."})  # fmt: skip
@click.argument("runs", nargs=-1, required=True, type=click.Path())
@option("--by", metavar="rule|seed|head|PATTERN", default="rule", show_default=True,
              shell_complete=words_of("rule", "seed", "head"),
              help="Group runs by this: rule, seed or head; or by the one group of a regular "
              "expression, which is looked for in their paths.")  # fmt: skip
@option("--metric", "metrics", metavar="NAME", multiple=True, show_default="all",
              help="Print this column; several can be given.")  # fmt: skip
@option("--sort", metavar="NAME", help="Sort runs by this column; -NAME puts the largest first.")
@options.output_format("table", "csv", "json", "markdown")
@option("--top", type=Whole(min=1), metavar="N", default=20,
              show_default=True, help="List this number of outliers in the table.")  # fmt: skip
@options.verbosity
def command(
    runs: tuple[str, ...],
    by: str,
    metrics: tuple[str, ...],
    sort: str | None,
    form: str,
    top: int,
    quiet: bool,
) -> int:
    """Compare runs under other rules, seeds, heads, targets or observations.

    There is a row for each run, then the mean of each group with its spread and a 95 % interval over
    trainings. What cannot be compared is named. An outlier that all runs have is real; one that a single
    run has comes from what differs, or is there by chance.
    """
    from lrpdyn.comparison.compare import compare
    from lrpdyn.comparison.text import RENDERERS, as_table

    width = terminal_width() if sys.stdout.isatty() else None
    found = compare(runs, by=by, metrics=metrics, sort=sort)
    click.echo(RENDERERS[form](found) if form != "table" else as_table(found, top, width))
    return say_skipped(found.skipped)
