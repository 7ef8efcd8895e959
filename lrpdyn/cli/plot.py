"""lrpdyn plot."""

from __future__ import annotations

from pathlib import Path

import click

from lrpdyn.cli import options


@click.command("plot", short_help="Draw the figures of a run.")
@options.run_argument
@click.option("--kind", default="dynamics,filmstrip,distribution,trajectory", show_default=True,
              help="Which figures, with commas between.")  # fmt: skip
@click.option("--sample", default=0, show_default=True, help="The sample of the filmstrip.")
@options.curve
@options.verbosity
def command(run: Path, kind: str, sample: int, curve: str | None, quiet: bool) -> None:
    """Draw figures of RUN into its folder figures/, and print their paths.

    dynamics: the heatmap of each sample; filmstrip: relevance and its differences over training;
    distribution: the differences with their fences and outliers; trajectory: changes and what is
    looked at by step, beside the training curve where one is given.
    """
    from lrpdyn.curves import read_curve
    from lrpdyn.errors import UsageError
    from lrpdyn.figures.kinds import KINDS, draw
    from lrpdyn.run import open_run

    kinds = [name.strip() for name in kind.split(",")]
    unknown = [name for name in kinds if name not in KINDS]
    if unknown:
        raise UsageError(f"--kind {unknown[0]}: expected {', '.join(KINDS)}")
    opened = open_run(run)
    read = None if curve is None else read_curve(curve)
    for name in kinds:
        click.echo(str(draw(opened, name, sample, read)))
