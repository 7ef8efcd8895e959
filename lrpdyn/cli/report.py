"""lrpdyn report."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command, option, words_of
from lrpdyn.cli.terminal import paragraph, say_skipped
from lrpdyn.errors import UsageError


@click.command("report", cls=Command, short_help="Write one HTML page of a run, with a slider over training.",
               examples=("lrpdyn report", "lrpdyn report gamma-run -o gamma.html",
                         "lrpdyn report zplus-run gamma-run -o both.html"),
               about=options.ABOUT_RUN)  # fmt: skip
@click.argument("runs", nargs=-1, metavar="[RUN]...", type=click.Path())
@option("-o", "--out", metavar="FILE", type=click.Path(path_type=Path),
              show_default="report.html in RUN; runs.html of several",
              help="The page that is written.")  # fmt: skip
@option(
    "--name", metavar="NAME", show_default="the folder's name", help="What the page calls the run."
)
@option("--note", metavar="NOTE", default="", help="A note that the page shows below the name.")
@option("--regions", metavar="FILE", type=click.Path(path_type=Path),
        help="Name parts of the observations at the pointer; a file as of compute --regions.")  # fmt: skip
@option("--by", metavar="rule|seed|head|PATTERN", default="rule", show_default=True,
              shell_complete=words_of("rule", "seed", "head"),
              help="Group several runs by this, as compare does.")  # fmt: skip
@options.curve
@options.verbosity
def command(
    runs: tuple[str, ...],
    out: Path | None,
    name: str | None,
    note: str,
    regions: Path | None,
    by: str,
    curve: str | None,
    quiet: bool,
) -> int:
    """Write one HTML page of a run, which any browser opens without a network; print its path.

    Whether the maps can be trusted and what to look at first; maps of all samples over the observations,
    with a slider over the steps; a pixel's history; curves; outliers, phases, checks and manifest.
    Of several RUNs on the same observations, also folders of them and patterns: any two at the same
    progress of training, with a swipe between them. Needs pip install 'lrpdyn[report]'.
    """
    from lrpdyn.api import open_run
    from lrpdyn.comparison.found import find_runs
    from lrpdyn.comparison.readable import of_readable
    from lrpdyn.page.report import write_report, write_several

    if out is not None and out.is_dir():
        raise UsageError(
            f"-o {out}: is a folder, expected the name of a page; -o {out}/report.html"
        )
    folders = find_runs(runs or (options.DEFAULT_RUN,), "report")
    skipped: dict[Path, str] = {}
    if len(folders) > 1:
        for given, of_one in (
            (name, "--name"),
            (note, "--note"),
            (regions, "--regions"),
            (curve, "--curve"),
        ):
            if given:
                raise UsageError(f"{of_one}: is for the page of one run; leave it out")
        write = partial(write_several, path=out or Path("runs.html"), by=by, quiet=quiet)
        written, skipped = of_readable(folders, write, "report")
    elif by != "rule":
        raise UsageError(f"--by {by}: groups several runs, found one; lrpdyn report RUN RUN")
    else:
        written = write_report(
            open_run(folders[0]), out, curve, name=name, note=note, regions=regions, quiet=quiet
        )
    if not quiet:
        for note in written.notes:
            paragraph(f"Note: {note}")
    click.echo(str(written.path))
    return say_skipped(skipped.values())
