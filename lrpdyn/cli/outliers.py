"""lrpdyn outliers."""

from __future__ import annotations

from pathlib import Path

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command, Whole, option, words_of
from lrpdyn.cli.terminal import paragraph, say
from lrpdyn.errors import UsageError
from lrpdyn.files.nearby import did_you_mean
from lrpdyn.files.text import terminal_width
from lrpdyn.outliers.render import (
    KINDS,
    RENDERERS,
    SHOWN_KINDS,
    as_short,
    as_table,
    contains,
    curve_lines,
)
from lrpdyn.run.outlier_report import read_report

_SEVERITIES = ("mild", "far", "pathology")


@click.command("outliers", cls=Command, short_help="Print what is unusual in a run, and why.",
               examples=("lrpdyn outliers", "lrpdyn outliers lrpdyn-run --details",
                         "lrpdyn outliers --format csv > outliers.csv",
                         "lrpdyn outliers --fail-on far,pathology"),
               about=options.ABOUT_RUN)  # fmt: skip
@options.run_argument
@options.output_format("table", *RENDERERS)
@option("--details", is_flag=True, help="Print the whole report: the largest changes, the "
              "observations that change most, layers, phases and advice.")  # fmt: skip
@option("--top", type=Whole(min=1), metavar="N", show_default="10 in a table, else all",
              help="Print this number of entries of each kind, in detail.")  # fmt: skip
@option("--kind", metavar="KIND,KIND", shell_complete=words_of(*KINDS),
              show_default="all; no pixels in a table",
              help=f"Print only these kinds, in detail: {', '.join(KINDS)}.")  # fmt: skip
@option(
    "--fail-on",
    metavar="KIND,KIND",
    shell_complete=words_of(*_SEVERITIES),
    help="Exit with code 4 if there is any of these: mild, far, pathology.",
)
@options.curve
@options.verbosity
def command(
    run: Path,
    form: str,
    details: bool,
    top: int | None,
    kind: str | None,
    fail_on: str | None,
    curve: str | None,
    quiet: bool,
) -> int:
    """Print what is unusual in a run: where, how far, and the likely cause."""
    every = KINDS if form in ("json", "csv") else SHOWN_KINDS
    kinds = list(every) if kind is None else [name.strip() for name in kind.split(",")]
    wanted = [name.strip() for name in fail_on.split(",")] if fail_on else []
    for name, given, known in [
        *(("--kind", name, KINDS) for name in kinds),
        *(("--fail-on", name, _SEVERITIES) for name in wanted),
    ]:
        if given not in known:
            raise UsageError(
                f"{name} {given}: expected {', '.join(known)}{did_you_mean(given, known)}"
            )
    report = read_report(run)
    if curve is not None:
        from lrpdyn.api import open_run
        from lrpdyn.run.training_curve import curve_section, read_curve

        report["curve"] = curve_section(open_run(run), read_curve(curve))
    if form != "table":
        click.echo(RENDERERS[form](report, kinds, top))
    elif details or top is not None or kind is not None:
        say(as_table(report, kinds, top, terminal_width()), err=False)
    else:
        say(as_short(report, terminal_width()), err=False)
        if curve is not None:
            click.echo("\n" + "\n".join(curve_lines(report, terminal_width())))
        elif "first" in report:
            click.echo(err=True)
            paragraph("lrpdyn outliers --details has the largest changes and what to do next")
    return 4 if any(contains(report, severity) for severity in wanted) else 0
