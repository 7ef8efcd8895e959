"""lrpdyn compute."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrpdyn.cli import options
from lrpdyn.cli.closing import print_summary, print_warnings
from lrpdyn.cli.command import Command, Number, Whole, words_of
from lrpdyn.cli.config import config, in_words, taken_from
from lrpdyn.cli.imports import loading
from lrpdyn.cli.terminal import say
from lrpdyn.files.text import printable
from lrpdyn.pipeline.setup.options import Options

if TYPE_CHECKING:
    from lrpdyn.api import Run


@click.command(
    "compute", cls=Command, short_help="Explain every checkpoint and write a run folder.",
    examples=(
        "lrpdyn compute ckpts/ obs.npy",
        "lrpdyn compute ckpts/ obs.npy --rule gamma:0.25 -o gamma-run",
        "lrpdyn compute 'ckpts/*.zip' obs.npz --target modal --limit 20",
        "lrpdyn compute ckpts/ obs.npy --follow     while training goes on",
    ),
    about={
        "CHECKPOINTS": "A folder of checkpoints, or a glob in quotes.",
        "OBSERVATIONS": "Files .npy, .npz, .png or .jpg, or folders of them.",
    },
    shown={"rule", "target", "contrast", "arch", "limit", "skip_bad", "trust", "scale", "samples", "out",
           "device", "workers", "follow", "config"},
)  # fmt: skip
@click.argument("checkpoints", type=click.Path())
@click.argument("observations", nargs=-1, required=True, type=click.Path())
@options.of_compute(
    "--out",
    "-o",
    group=options.WRITTEN,
    metavar="DIR",
    help="The run folder. An interrupted run there is resumed.",
)
@options.rule
@options.score
@options.architecture
@options.of_compute(
    "--normalize", group=options.QUESTION, help="Normalise each map before differences are taken."
)
@options.reference
@options.prefix
@options.selection
@options.observations
@options.of_compute(
    "--baseline",
    group=options.MEASURED,
    metavar="none|random[:K]",
    shell_complete=words_of("none", "random", "random:"),
    help="Compare the maps with those of K untrained networks.",
)
@options.faithfulness
@options.faithfulness_samples
@options.interventions
@options.of_compute(
    "--regions",
    group=options.MEASURED,
    type=click.Path(path_type=Path),
    metavar="auto|FILE",
    shell_complete=words_of("auto"),
    help="Measure the share and the effect of parts of the observations: a PNG of labelled "
    "colours, an .npz of masks, or the objects that are found (auto).",
)
@options.fill
@options.curve
@options.of_compute("--overwrite", group=options.WRITTEN, help="Replace a run of another question.")
@options.of_compute(
    "--recompute",
    group=options.WRITTEN,
    type=Whole(),
    multiple=True,
    metavar="STEP",
    help="Explain this step again, because its file or checkpoint has changed.",
)
@options.of_compute(
    "--keep",
    group=options.WRITTEN,
    help="Store each step's maps, their sums over channels (pixels), or none of them.",
)
@options.of_compute(
    "--dtype", group=options.WRITTEN, help="The type of the numbers that are stored."
)
@options.of_compute(
    "--digest", group=options.WRITTEN, help="How the manifest names the weights of each checkpoint."
)
@options.tables
@options.resources
@options.of_compute(
    "--shard",
    group=options.RUNNING,
    metavar="K/N",
    help="Explain part K of N of the checkpoints, for lrpdyn merge.",
)
@options.of_compute(
    "--dask",
    group=options.RUNNING,
    metavar="ADDRESS",
    help="Explain on the Dask cluster at this address, or on one of N processes here: local:N.",
)
@options.of_compute("--profile", group=options.RUNNING, help="Print where the time went.")
@options.of_compute(
    "--follow",
    group=options.RUNNING,
    help="Explain checkpoints as training writes them. Ctrl-C, --until or --idle ends it.",
)
@options.of_compute(
    "--poll",
    group=options.RUNNING,
    type=Number(),
    metavar="SECONDS",
    help="The time between two checks of the folder that is followed.",
)
@options.of_compute(
    "--idle",
    group=options.RUNNING,
    type=Number(),
    metavar="SECONDS",
    help="Stop after this time without a new checkpoint.",
)
@options.of_compute(
    "--on-flag",
    group=options.RUNNING,
    metavar="COMMAND",
    help="Under --follow, run this for each new flag, which it reads as JSON. No shell runs it.",
)
@options.skip_bad
@options.wait
@options.trust
@options.links
@config
@options.verbosity
@click.pass_context
def command(
    ctx: click.Context, /, checkpoints: str, observations: tuple[str, ...], **given: Any
) -> int:
    """Explain every checkpoint of a training with LRP and write a run folder.

    Checkpoints and observations may be in a store: s3://, gs://, hf://, ssh:// (pip install
    'lrpdyn[remote]'). A run that was interrupted goes on with the same command. Prints the run
    folder; what it found goes to stderr.

    Each option is also a key of lrpdyn.toml, and a variable: LRPDYN_COMPUTE_BATCH_SIZE is --batch-size.
    """
    from lrpdyn.pipeline.setup.values import check_inputs, check_values

    given["verbose"] = isinstance(ctx.obj, dict) and ctx.obj["verbose"] > 0
    given["config"] = taken_from(ctx)
    plain = {name: value for name, value in given.items() if name != "arch_arg"}
    check_values(Options(**plain))
    if not given["follow"]:
        check_inputs(checkpoints, observations)
    for line in [] if given["quiet"] else in_words(ctx):
        say(printable(line))

    from lrpdyn.pipeline.setup.same_command import command_of

    started = time.time()
    this = command_of([checkpoints, *observations], given)
    finished = this.finished_run()
    if finished is not None:
        return _print(finished, started, quiet=given["quiet"])
    with loading(quiet=given["quiet"]):
        from lrpdyn.architectures.registry import parse_arguments
        from lrpdyn.pipeline.compute import compute
        from lrpdyn.system.memory import keep

    keep()
    arguments = parse_arguments(given.pop("arch_arg"))
    run = compute(checkpoints, observations, arch_args=arguments, **given)
    code = _print(run, started, quiet=given["quiet"])
    this.record(run)
    return code


def _print(run: Run, started: float, *, quiet: bool) -> int:
    """Print what was found in a run, or in a shard of one, and return the exit code."""
    seconds: float | None = time.time() - started
    if not quiet and (run.path / "manifest.json").stat().st_mtime < started:
        say(f"{run.path} is finished: {len(run.steps)} steps; nothing to do")
        seconds = None
    shard = run.manifest.get("shard")
    if shard is None:
        return print_summary(run, quiet=quiet, seconds=seconds)
    if not quiet:
        say(
            f"Shard {shard['name']}: {len(run.steps)} steps explained. Put together with the others: lrpdyn "
            "merge"
        )
    return print_warnings(run)
