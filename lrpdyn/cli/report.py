"""lrpdyn report."""

from __future__ import annotations

from pathlib import Path

import click

from lrpdyn.cli import options


@click.command("report", short_help="Write one HTML page that tells the story of a run.")
@options.run_argument
@click.option("-o", "--out", metavar="FILE", type=click.Path(path_type=Path),
              help="The page. Default: report.html in RUN.")  # fmt: skip
@click.option(
    "--name", metavar="TEXT", help="What the page calls the run. Default: its folder's name."
)
@click.option(
    "--note", metavar="TEXT", default="", help="What the page says of the run below its name."
)
@click.option("--regions", metavar="FILE", type=click.Path(path_type=Path),
              help="Parts of the observations, named at the pointer; as compute --regions.")  # fmt: skip
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
    """Write a page of RUN that opens from disk, in any browser and without a network; print its path.

    Whether the maps can be trusted and what to look at first; maps of all samples over the observations,
    with a slider over the steps; a pixel's history; curves; outliers, phases, checks and manifest.
    Needs pip install 'lrpdyn[report]'.
    """
    from lrpdyn.api import open_run
    from lrpdyn.page.report import write_report

    written = write_report(open_run(run), out, curve, name=name, note=note, regions=regions)
    if not quiet:
        for note in written.notes:
            click.echo(f"note: {note}", err=True)
    click.echo(str(written.path))
