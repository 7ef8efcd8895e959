"""lrpdyn merge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command, option


@click.command("merge", cls=Command, short_help="Put the shards of a run together.",
               examples=("lrpdyn merge shard-*", "lrpdyn merge shard-1 shard-2 -o whole-run"),
               shown=("out", "checkpoints", "arch", "overwrite", "trust", "curve"),
               about={"SHARDS": "Folders that lrpdyn compute --shard K/N wrote, all N of them."})  # fmt: skip
@click.argument("shards", nargs=-1, required=True, type=click.Path(path_type=Path))
@option("-o", "--out", default=options.DEFAULT_RUN, show_default=True, metavar="DIR",
        help="The run folder.")  # fmt: skip
@option("--checkpoints", metavar="DIR", show_default="where the shards found them",
        help="The folder that the checkpoints are in now.")  # fmt: skip
@options.of_compute("--arch", group="Options", metavar="ARCH", help="The --arch of the shards, where it is "
                    "code of your own, which no shard may name.")  # fmt: skip
@options.trust
@options.tables
@options.faithfulness
@options.faithfulness_samples
@options.interventions
@options.curve
@options.wait
@option("--overwrite", is_flag=True, help="Replace a run of another question.")
@options.verbosity
def command(shards: tuple[Path, ...], **given: Any) -> int:
    """Put shards together to the run that one command would have written.

    Prints the run folder; what it found goes to stderr.
    """
    from lrpdyn.cli.closing import print_summary
    from lrpdyn.pipeline.merge import merge
    from lrpdyn.system.memory import keep

    keep()
    return print_summary(merge(shards, **given), quiet=given["quiet"])
