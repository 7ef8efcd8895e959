"""lrpdyn plot."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from lrpdyn.cli import options
from lrpdyn.errors import UsageError
from lrpdyn.figures import kinds
from lrpdyn.figures.canvas.look import (
    FONT_SIZE,
    HEADERS,
    SCALES,
    Header,
    Look,
    ScaleBy,
    inches,
    with_colours,
)
from lrpdyn.figures.kind import FILMS, FORMATS, PICTURES
from lrpdyn.figures.request import PANELS, Request

if TYPE_CHECKING:
    from lrpdyn.figures.terminal import Terminal

Part = TypeVar("Part")


class _PlotCommand(click.Command):
    """A command whose help lists the kinds of figures, a line each."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_dl([(kind.name, kind.summary) for kind in kinds.KINDS.values()])


def _in_words(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


@click.command("plot", cls=_PlotCommand, short_help="Draw the figures of a run.")
@click.argument("runs", nargs=-1, metavar="[RUN]...", type=click.Path(path_type=Path))
@click.option("--kind", help="Which figures, with commas between. Default: "
              f"{','.join(kinds.default_kinds())}; of several runs, "
              f"{','.join(kinds.default_kinds(several_runs=True))}.")  # fmt: skip
@click.option("--sample", metavar="N,N-N", help="Samples, as 0,3 or 0-5. Default: the first 16 of a "
              "heatmap, the first of a filmstrip, all of a trajectory.")  # fmt: skip
@click.option("--steps", metavar="STEP,STEP", help=f"Steps of {_in_words(kinds.users_of('steps'))}, as "
              "0,100k,1.1M.")  # fmt: skip
@click.option("--format", "form", metavar="NAME,NAME", help=f"{', '.join(PICTURES)}; {', '.join(FILMS)} "
              f"of an animation. Default: {PICTURES[0]}, {FILMS[0]}.")  # fmt: skip
@click.option("--dpi", type=click.IntRange(5, 1200), help="Pixels to the inch. Default: 150, or 300 "
              "with --width.")  # fmt: skip
@click.option("--width", metavar="WIDTH", help="Width in print, as 3.25in or 8cm. Default: wide enough for "
              "a screen, with text for print.")  # fmt: skip
@click.option("--font-size", type=click.FloatRange(4, 40), default=FONT_SIZE, show_default=True,
              metavar="POINTS", help="Size of the text in print.")  # fmt: skip
@click.option("--header", type=click.Choice(HEADERS), default="short", show_default=True,
              help="What stands above a figure: its whole caption, a title and at most one line, or "
              "nothing.")  # fmt: skip
@click.option("--title", metavar="TEXT", help="The title above, instead of the figure's own.")
@click.option("--scale-by", type=click.Choice(SCALES), help="What has colour scales of its own: every step, "
              "every sample, or nothing less than all that is drawn. Default: all of dynamics, sample of "
              "filmstrip, channels and animation.")  # fmt: skip
@click.option("--relative", is_flag=True, help="Add the relative dynamics to the figure dynamics.")
@click.option("--panels", metavar="NAME,NAME", help=f"Panels of a trajectory: {', '.join(PANELS)}. "
              "Default: all that the run has.")  # fmt: skip
@click.option("--cmap", metavar="NAME,NAME", help="Colour maps: a sequential one for dynamics, a "
              "diverging one for relevance. Default: inferno,RdBu_r.")  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), help="A folder, or the name of the one "
              "file. Default: figures/ of the run.")  # fmt: skip
@options.curve
@options.verbosity
def command(
    runs: tuple[Path, ...],
    kind: str | None,
    sample: str | None,
    steps: str | None,
    form: str | None,
    dpi: int | None,
    width: str | None,
    font_size: float,
    header: Header,
    title: str | None,
    scale_by: ScaleBy | None,
    relative: bool,
    panels: str | None,
    cmap: str | None,
    out: Path | None,
    curve: str | None,
    quiet: bool,
) -> None:
    """Draw figures of RUN into its folder figures/, each with its caption, and print their paths."""
    from lrpdyn.api import open_run
    from lrpdyn.figures.canvas.words import parse_step
    from lrpdyn.run.training_curve import read_curve

    names = kinds.default_kinds(several_runs=len(runs) > 1)
    if kind is not None:
        names = _parts("--kind", kind, str, "a kind of figure")
    look = Look(
        dpi=dpi or (150 if width is None else 300),
        width=None if width is None else inches(width),
        font_size=font_size,
        header=header,
        title=title,
    )
    request = Request(
        samples=None if sample is None else _samples(sample),
        steps=None
        if steps is None
        else _parts("--steps", steps, parse_step, "steps, as 0,100k,1.1M"),
        curve=None if curve is None else read_curve(curve),
        formats=[] if form is None else _parts("--format", form, _format, ", ".join(FORMATS)),
        panels=None if panels is None else _parts("--panels", panels, str, ", ".join(PANELS)),
        relative=relative,
        scale_by=scale_by,
        look=with_colours(look, [] if cmap is None else _parts("--cmap", cmap, str, "names")),
        out=out,
    )
    opened = [open_run(run) for run in runs or (options.DEFAULT_RUN,)]
    kinds.check(opened, names, request)
    for name in names:
        part = kinds.part_of(request, name)
        for path in kinds.draw(opened, name, part):
            click.echo(str(path))
        if kinds.KINDS[name].lines is not None:
            click.echo("\n".join(kinds.lines(opened, name, part, _terminal())))


def _terminal() -> Terminal:
    from lrpdyn.figures.terminal import terminal_of

    width, out = shutil.get_terminal_size().columns, sys.stdout
    return terminal_of(
        width, is_terminal=out.isatty(), encoding=out.encoding, environment=os.environ
    )


def _parts(option: str, text: str, read: Callable[[str], Part], expected: str) -> list[Part]:
    """Read what stands between commas, each once."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise UsageError(f"{option}: expected {expected}, found {text!r}")
    found: dict[Part, None] = {}
    for part in parts:
        try:
            found[read(part)] = None
        except ValueError as error:
            raise UsageError(f"{option} {part}: expected {expected}") from error
    return list(found)


def _samples(text: str) -> list[int]:
    ranges = _parts("--sample", text, _range, "sample numbers, as 0,3 or 0-5")
    return list(dict.fromkeys(sample for of_range in ranges for sample in of_range))


def _range(text: str) -> range:
    """Read one number, or two with a dash between: both are part of the range."""
    first, dash, last = text.partition("-")
    numbers = range(int(first), int(last if dash else first) + 1)
    if not numbers:
        raise ValueError(text)
    return numbers


def _format(text: str) -> str:
    if text.lower() not in FORMATS:
        raise ValueError(text)
    return text.lower()
