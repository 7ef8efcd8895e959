"""lrpdyn compute."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrpdyn.cli import options
from lrpdyn.cli.closing import print_summary, print_warnings
from lrpdyn.cli.imports import loading
from lrpdyn.cli.terminal import say

if TYPE_CHECKING:
    from lrpdyn.api import Run


@click.command("compute", short_help="Explain every checkpoint and write a run folder.")
@click.argument("checkpoints", type=click.Path())
@click.argument("observations", nargs=-1, required=True, type=click.Path())
@options.of_compute("--out", "-o", help="The run folder.")
@options.of_compute("--rule", help="NAME[:VALUE], a composite, or FILE.toml; +attnlrp; see lrpdyn rules. "
              "auto: what lrpdyn rules --try names, with its reference if none is given.")  # fmt: skip
@options.architecture
@options.score
@options.of_compute("--normalize", help="Of each map, before differences are taken.")  # fmt: skip
@options.reference
@options.of_compute("--baseline", metavar="none|random[:K]",
              help="Compare with K freshly initialised networks.")  # fmt: skip
@options.observations
@options.selection
@options.prefix
@options.resources
@options.of_compute("--keep", help="What is stored of each step: its maps, summed over channels, or "
              "nothing but sums and tables.")  # fmt: skip
@options.of_compute("--dtype", help="Of what is stored.")  # fmt: skip
@options.tables
@options.of_compute("--regions", type=click.Path(path_type=Path), help="Parts of the observations whose "
              "share and effect are measured: a PNG of labelled colours, an .npz of masks.")  # fmt: skip
@options.fill
@options.faithfulness
@options.faithfulness_samples
@options.interventions
@options.curve
@options.of_compute("--shard", metavar="K/N", help="Explain stretch K of N of the checkpoints, for lrpdyn "
              "merge.")  # fmt: skip
@options.of_compute("--dask", metavar="ADDRESS", help="Explain on the Dask cluster there, or on one of N "
              "processes here: local:N.")  # fmt: skip
@options.of_compute("--follow", help="Go on as training writes checkpoints, until Ctrl-C, "
              "--until or --idle.")  # fmt: skip
@options.of_compute("--poll", type=float, metavar="SECONDS",
              help="Between two looks at the folder that is followed.")  # fmt: skip
@options.of_compute("--idle", type=float, metavar="SECONDS",
              help="Stop following after so long without a new checkpoint.")  # fmt: skip
@options.wait
@options.of_compute("--overwrite", help="Replace a run of another question.")
@options.of_compute("--recompute", type=int, multiple=True, metavar="STEP",
              help="Explain this step again: its file or checkpoint is another now.")  # fmt: skip
@options.skip_bad
@options.trust
@options.links
@options.of_compute("--profile", help="Say where the time went.")
@options.config
@options.verbosity
@click.pass_obj
def command(settings: Any, /, checkpoints: str, observations: tuple[str, ...], **given: Any) -> int:
    """Explain CHECKPOINTS (a folder, or a glob in quotes) on OBSERVATIONS and write a run folder.

    OBSERVATIONS are .npy, .npz, .png or .jpg files, or folders of them. Both may be in a store:
    s3://, gs://, hf://, ssh:// (pip install 'lrpdyn[remote]'). A run that was interrupted
    goes on with the same command. Prints the run folder; what it found goes to stderr.
    """
    from lrpdyn.pipeline.setup.same_command import command_of

    given["verbose"] = isinstance(settings, dict) and settings["verbose"] > 0
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
