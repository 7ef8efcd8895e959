"""lrpdyn report."""

from __future__ import annotations

from pathlib import Path

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command, option


@click.command("report", cls=Command, short_help="Write one HTML page of a run, with a slider over training.",
               examples=("lrpdyn report", "lrpdyn report gamma-run -o gamma.html"),
               about=options.ABOUT_RUN)  # fmt: skip
@options.run_argument
@option("-o", "--out", metavar="FILE", type=click.Path(path_type=Path),
              show_default="report.html in RUN",
              help="The page that is written.")  # fmt: skip
@options.curve
@options.verbosity
def command(run: Path, out: Path | None, curve: str | None, quiet: bool) -> None:
    """Write one HTML page of a run, which any browser opens without a network; print its path.

    Maps of all samples over the observations, with a slider over the steps; a pixel's history;
    curves; outliers, phases, checks and manifest. Needs pip install 'lrpdyn[report]'.
    """
    from lrpdyn.api import open_run
    from lrpdyn.page.report import write_report

    written = write_report(open_run(run), out, curve)
    if not quiet:
        for note in written.notes:
            click.echo(f"note: {note}", err=True)
    click.echo(str(written.path))
