"""lrpdyn merge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lrpdyn.cli import options


@click.command("merge", short_help="Put the shards of a run together.")
@click.argument("shards", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", default=options.DEFAULT_RUN, show_default=True, help="The run folder.")
@click.option("--checkpoints", metavar="FOLDER", help="Where the checkpoints are now; the shards name "
              "them. Default: where they were.")  # fmt: skip
@options.of_compute("--arch", metavar="NAME", help="The --arch of the shards; needed where it is code of "
                    "your own, which no shard may name.")  # fmt: skip
@options.trust
@options.tables
@options.faithfulness
@options.faithfulness_samples
@options.interventions
@options.curve
@options.wait
@click.option("--overwrite", is_flag=True, help="Replace a run of another question.")
@options.verbosity
def command(shards: tuple[Path, ...], **given: Any) -> int:
    """Put SHARDS, folders of lrpdyn compute --shard K/N, together to the run that one would be.

    Prints the run folder; what it found goes to stderr.
    """
    from lrpdyn.cli.closing import print_summary
    from lrpdyn.pipeline.merge import merge
    from lrpdyn.system.memory import keep

    keep()
    return print_summary(merge(shards, **given), quiet=given["quiet"])
