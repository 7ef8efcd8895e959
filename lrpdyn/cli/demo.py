"""lrpdyn demo."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command, Whole, option
from lrpdyn.cli.config import found_here
from lrpdyn.cli.imports import loading


@click.command("demo", cls=Command, short_help="Train a small agent and explain it.",
               examples=("lrpdyn demo", "lrpdyn demo try/ --seed 3"),
               about={"DIRECTORY": "A new or empty folder.  [default: lrpdyn-demo]"})  # fmt: skip
@click.argument("directory", default="lrpdyn-demo", type=click.Path(path_type=Path))
@option("--seed", type=Whole(min=0), metavar="N", default=0, show_default=True,
        help="The seed of the training.")  # fmt: skip
@options.verbosity
@click.pass_context
def command(ctx: click.Context, directory: Path, seed: int, quiet: bool) -> None:
    """Train a small agent in under a minute, then run compute, plot and outliers on it.

    Each command is printed, so that it can be repeated.
    """
    with loading(quiet=quiet):
        from lrpdyn.demo import train
        from lrpdyn.system.progress import progress_bar

    with progress_bar(quiet=quiet, desc="training") as bar:

        def advance(done: int, total: int, rate: float) -> None:
            bar.total = total
            bar.set_postfix_str(f"catches {100 * rate:.0f} %", refresh=False)
            bar.update(done - bar.n)

        demo = train(directory, seed, advance)
    click.echo(
        f"Trained an agent to catch a ball in {demo.seconds:.0f} s ({demo.steps[-1]:,} steps): it "
        f"catches {100 * demo.final_catch_rate:.1f} %, a random player "
        f"{100 * demo.random_catch_rate:.1f} %.",
        err=True,
    )
    run = directory / "run"
    for arguments in (
        ["compute", str(demo.checkpoints), str(demo.observations), "-o", str(run)],
        ["plot", str(run)],
        ["outliers", str(run)],
    ):
        click.echo(f"\n$ lrpdyn {shlex.join(arguments)}", err=True)
        assert ctx.parent is not None
        without = ["--config", "none"] if arguments[0] == "compute" and found_here() else []
        ctx.parent.command.main([*arguments, *without], standalone_mode=False, obj=ctx.obj)
