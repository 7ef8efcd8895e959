"""lrpdyn export."""

from __future__ import annotations

from pathlib import Path

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command, Word, option


@click.command("export", cls=Command, short_help="Write a run for xarray, ViRelAy or a spreadsheet.",
               examples=("lrpdyn export --to csv", "lrpdyn export lrpdyn-run --to zarr -o run.zarr"),
               about=options.ABOUT_RUN)  # fmt: skip
@options.run_argument
@option("--to", "form", type=Word(["zarr", "hdf5", "csv"]), required=True,
              help="The format: zarr for xarray, hdf5 for ViRelAy, csv.")  # fmt: skip
@option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    show_default="next to RUN",
    help="The folder that is written.",
)
@options.verbosity
def command(run: Path, form: str, out: Path | None, quiet: bool) -> None:
    """Write a run in another format and print the folder.

    zarr: named dimensions, steps as a coordinate. hdf5: attributions, labels and predictions as
    ViRelAy opens them (virelay OUT/*.yaml), one project a step. csv: the tables, and relevance with a
    row for each element.
    """
    from lrpdyn.api import open_run
    from lrpdyn.exports.formats import export

    click.echo(str(export(open_run(run), form, out, quiet=quiet)))
