"""lrpdyn outliers."""

from __future__ import annotations

from pathlib import Path

import click

from lrpdyn.cli import options
from lrpdyn.errors import UsageError
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


@click.command("outliers", short_help="Print the outlier report of a run.")
@options.run_argument
@options.output_format("table", *RENDERERS)
@click.option("--details", is_flag=True, help="All of it: the largest changes, the observations that change "
              "most, layers put back, phases, what to do next.")  # fmt: skip
@click.option("--top", type=click.IntRange(min=1), help="Entries of a kind, in detail. Default: 10 in a "
              "table or Markdown, else all that are listed.")  # fmt: skip
@click.option("--kind", help=f"Which, in detail, with commas between: {', '.join(KINDS)}. Default: all in "
              "JSON and CSV, else all but pixels.")  # fmt: skip
@click.option("--fail-on", metavar="WHAT", help="Exit 4 if there is any: mild, far, pathology.")
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
    """Print the outlier report that compute made of RUN."""
    every = KINDS if form in ("json", "csv") else SHOWN_KINDS
    kinds = list(every) if kind is None else [name.strip() for name in kind.split(",")]
    wanted = [name.strip() for name in fail_on.split(",")] if fail_on else []
    for name, given, known in [
        *(("--kind", name, KINDS) for name in kinds),
        *(("--fail-on", name, _SEVERITIES) for name in wanted),
    ]:
        if given not in known:
            raise UsageError(f"{name} {given}: expected {', '.join(known)}")
    report = read_report(run)
    if curve is not None:
        from lrpdyn.api import open_run
        from lrpdyn.run.training_curve import curve_section, read_curve

        report["curve"] = curve_section(open_run(run), read_curve(curve))
    if form != "table":
        click.echo(RENDERERS[form](report, kinds, top))
    elif details or top is not None or kind is not None:
        click.echo(as_table(report, kinds, top, terminal_width()))
    else:
        click.echo(as_short(report, terminal_width()))
        if curve is not None:
            click.echo("\n" + "\n".join(curve_lines(report, terminal_width())))
        elif "first" in report:
            click.echo(
                "\nlrpdyn outliers --details has the largest changes and what to do next", err=True
            )
    return 4 if any(contains(report, severity) for severity in wanted) else 0
