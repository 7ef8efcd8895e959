"""lrpdyn outliers."""

from __future__ import annotations

from pathlib import Path

import click

from lrpdyn.cli import options
from lrpdyn.errors import UsageError
from lrpdyn.outliers.render import KINDS, RENDERERS, contains
from lrpdyn.run.outlier_report import read_report

_SEVERITIES = ("mild", "far", "pathology")


@click.command("outliers", short_help="Print the outlier report of a run.")
@options.run_argument
@options.output_format(*RENDERERS)
@click.option("--top", type=click.IntRange(min=1), help="Entries of a kind. Default: 10 in a table or "
              "Markdown, else all that are listed.")  # fmt: skip
@click.option(
    "--kind", default=",".join(KINDS), show_default=True, help="Which, with commas between."
)
@click.option("--fail-on", metavar="WHAT", help="Exit 4 if there is any: mild, far, pathology.")
@options.curve
@options.verbosity
def command(
    run: Path,
    form: str,
    top: int | None,
    kind: str,
    fail_on: str | None,
    curve: str | None,
    quiet: bool,
) -> int:
    """Print the outlier report that compute made of RUN."""
    kinds = [name.strip() for name in kind.split(",")]
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
    click.echo(RENDERERS[form](report, kinds, top))
    return 4 if any(contains(report, severity) for severity in wanted) else 0
