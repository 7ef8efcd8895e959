"""lrpdyn export."""

from __future__ import annotations

from pathlib import Path

import click

from lrpdyn.cli import options


@click.command("export", short_help="Write a run for xarray, ViRelAy or a spreadsheet.")
@options.run_argument
@click.option("--to", "form", type=click.Choice(["zarr", "hdf5", "csv"]), required=True,
              help="zarr for xarray.open_zarr, hdf5 for ViRelAy, csv.")  # fmt: skip
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="The folder. Default: beside RUN."
)
@options.verbosity
def command(run: Path, form: str, out: Path | None, quiet: bool) -> None:
    """Write RUN in another format, step by step, and print the folder.

    zarr: named dimensions, steps as a coordinate. hdf5: attributions, labels and predictions as
    ViRelAy opens them (virelay OUT/*.yaml), one project a step. csv: the tables, and relevance with a
    row for each element.
    """
    from lrpdyn.api import open_run
    from lrpdyn.exports.formats import export

    click.echo(str(export(open_run(run), form, out)))
