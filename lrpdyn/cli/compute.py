"""lrpdyn compute."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrpdyn.cli import options
from lrpdyn.cli.closing import print_summary, print_warnings
from lrpdyn.cli.imports import loading

if TYPE_CHECKING:
    from lrpdyn.api import Run


@click.command("compute", short_help="Explain every checkpoint and write a run folder.")
@click.argument("checkpoints", type=click.Path())
@click.argument("observations", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--out", default=options.DEFAULT_RUN, show_default=True, help="The run folder.")
@click.option("--rule", default="zplus", show_default=True,
              help="NAME[:VALUE], a composite, or FILE.toml; see lrpdyn rules.")  # fmt: skip
@click.option("--arch", help="A name (lrpdyn architectures), MODULE:CALLABLE or FILE.py:CALLABLE. "
              "Default: recognised from the weights.")  # fmt: skip
@click.option(
    "--arch-arg", "arch_arg", multiple=True, metavar="KEY=VALUE", help="Argument of --arch."
)
@click.option("--head", help="Which output: policy, value, q, logits.")
@click.option("--target", default="argmax", show_default=True,
              help="argmax, modal, final, a unit, or FILE.npy with a unit for each sample.")  # fmt: skip
@click.option("--contrast", type=click.Choice(["mean", "none", "runner-up"]), default="mean",
              show_default=True, help="What is subtracted from the target's output.")  # fmt: skip
@click.option("--normalize", type=click.Choice(["none", "sum", "l1", "max", "minmax"]), default="none",
              show_default=True, help="Of each map, before differences are taken.")  # fmt: skip
@click.option("--baseline", default="random:2", show_default=True, metavar="none|random[:K]",
              help="Compare with K freshly initialised networks.")  # fmt: skip
@click.option("--layout", type=click.Choice(
              ["NCHW", "NHWC", "CHW", "HWC", "NHW", "HW", "NF", "F", "NKHWC", "NKCHW"]),
              help="Of the observation files. Default: told from the network.")  # fmt: skip
@click.option("--scale", help="What observations are divided by, none, or imagenet.")
@click.option("--mean", help="Subtracted after --scale: a number, one a channel, or FILE.npy.")
@click.option("--std", help="Divided by after --mean: the same.")
@click.option(
    "--statistics",
    metavar="FILE",
    help="Running mean and variance of a sample-factory checkpoint or vecnormalize.pkl.",
)
@click.option(
    "--stack",
    type=click.IntRange(min=1),
    metavar="K",
    help="Make each K successive frames into one observation.",
)
@click.option(
    "--stack-order",
    type=click.Choice(["oldest", "newest"]),
    default="oldest",
    show_default=True,
    help="newest turns the frames of each stack round.",
)
@click.option("--samples", help="Which observations, such as 0,3,7 or 0-3.")
@click.option(
    "--select", metavar="spread:K|random:K", help="K observations that differ most, or K at random."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of --select."
)
@options.selection
@click.option("--prefix", help="Only weights whose key begins so, which is taken off.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--workers", type=click.IntRange(min=1),
              help="Processes. Default: the cores given to this one.")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True,
              help="Observations that are explained at once.")  # fmt: skip
@click.option("--keep", type=click.Choice(["relevance", "pixels", "none"]), default="relevance",
              show_default=True, help="What is stored of each step: its maps, summed over channels, or "
              "nothing but sums and tables.")  # fmt: skip
@click.option("--dtype", type=click.Choice(["float32", "float16"]), default="float32",
              show_default=True, help="Of what is stored.")  # fmt: skip
@options.tables
@click.option("--regions", type=click.Path(path_type=Path), help="Parts of the observations whose share "
              "and effect are measured: a PNG of labelled colours, an .npz of masks.")  # fmt: skip
@click.option("--fill", type=float, help="What a region is painted with, as in the observation files. "
              "Default: their most frequent value.")  # fmt: skip
@options.curve
@click.option("--shard", metavar="K/N", help="Explain stretch K of N of the checkpoints, for lrpdyn "
              "merge.")  # fmt: skip
@click.option("--dask", metavar="ADDRESS", help="Explain on the Dask cluster there, or on one of N "
              "processes here: local:N.")  # fmt: skip
@click.option("--follow", is_flag=True, help="Go on as training writes checkpoints, until Ctrl-C, "
              "--until or --idle.")  # fmt: skip
@click.option("--poll", type=float, default=5.0, show_default=True, metavar="SECONDS",
              help="Between two looks at the folder that is followed.")  # fmt: skip
@click.option("--idle", type=float, metavar="SECONDS",
              help="Stop following after so long without a new checkpoint.")  # fmt: skip
@options.wait
@click.option("--overwrite", is_flag=True, help="Replace a run of another question.")
@click.option("--recompute", type=int, multiple=True, metavar="STEP",
              help="Explain this step again: its file or checkpoint is another now.")  # fmt: skip
@click.option("--skip-bad", is_flag=True, help="Go on without checkpoints that cannot be read.")
@options.trust
@click.option("--profile", is_flag=True, help="Say where the time went.")
@options.config
@options.verbosity
@click.pass_obj
def command(settings: Any, /, checkpoints: str, observations: tuple[str, ...], **given: Any) -> int:
    """Explain CHECKPOINTS (a folder, or a glob in quotes) on OBSERVATIONS and write a run folder.

    OBSERVATIONS are .npy, .npz, .png or .jpg files, or folders of them. Both may be in a store:
    s3://, gs://, hf://, ssh:// (pip install 'lrpdyn[remote]'). A run that was interrupted
    goes on with the same command. Prints the run folder; what it found goes to stderr.
    """
    from lrpdyn.pipeline.setup.asked_again import asked

    verbose = isinstance(settings, dict) and settings["verbose"] > 0
    started = time.time()
    question = asked(given["out"], [checkpoints, *observations], given)
    # What is trusted to run is told each time; the others ask for more than the results.
    more = ("trust", "overwrite", "recompute", "profile", "follow")
    full = verbose or any(given[name] for name in more)
    run = None if full else question.answer()
    if run is None:
        with loading():
            from lrpdyn.architectures.registry import parse_arguments
            from lrpdyn.pipeline.compute import compute

        arguments = parse_arguments(given.pop("arch_arg"))
        run = compute(checkpoints, observations, arch_args=arguments, verbose=verbose, **given)
        code = _tell(run, started, quiet=given["quiet"])
        question.keep(run)
        return code
    return _tell(run, started, quiet=given["quiet"])


def _tell(run: Run, started: float, *, quiet: bool) -> int:
    """Say what a run, or a shard of one, found, and return the exit code."""
    if not quiet and (run.path / "manifest.json").stat().st_mtime < started:
        click.echo(f"{run.path} is finished: {len(run.steps)} steps; nothing to do", err=True)
    shard = run.manifest.get("shard")
    if shard is None:
        return print_summary(run, quiet=quiet)
    if not quiet:
        click.echo(f"shard     {shard['name']}: {len(run.steps)} steps; see lrpdyn merge", err=True)
    return print_warnings(run)
