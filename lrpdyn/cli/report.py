"""lrpdyn report."""

from __future__ import annotations

from pathlib import Path

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command, option
from lrpdyn.cli.terminal import paragraph


@click.command("report", cls=Command, short_help="Write one HTML page of a run, with a slider over training.",
               examples=("lrpdyn report", "lrpdyn report gamma-run -o gamma.html"),
               about=options.ABOUT_RUN)  # fmt: skip
@options.run_argument
@option("-o", "--out", metavar="FILE", type=click.Path(path_type=Path),
              show_default="report.html in RUN",
              help="The page that is written.")  # fmt: skip
@option(
    "--name", metavar="NAME", show_default="the folder's name", help="What the page calls the run."
)
@option("--note", metavar="NOTE", default="", help="A note that the page shows below the name.")
@option("--regions", metavar="FILE", type=click.Path(path_type=Path),
        help="Name parts of the observations at the pointer; a file as of compute --regions.")  # fmt: skip
@options.curve
@options.verbosity
def command(
    run: Path,
    out: Path | None,
    name: str | None,
    note: str,
    regions: Path | None,
    curve: str | None,
    quiet: bool,
) -> None:
    """Write one HTML page of a run, which any browser opens without a network; print its path.

    Whether the maps can be trusted and what to look at first; maps of all samples over the observations,
    with a slider over the steps; a pixel's history; curves; outliers, phases, checks and manifest.
    Needs pip install 'lrpdyn[report]'.
    """
    from lrpdyn.api import open_run
    from lrpdyn.page.report import write_report

    written = write_report(
        open_run(run), out, curve, name=name, note=note, regions=regions, quiet=quiet
    )
    if not quiet:
        for note in written.notes:
            paragraph(f"Note: {note}")
    click.echo(str(written.path))
