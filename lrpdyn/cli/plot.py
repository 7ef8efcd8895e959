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
from lrpdyn.cli.command import Command, Number, Whole, Word, option, words_of
from lrpdyn.cli.terminal import bar, say_skipped
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
    from lrpdyn.run.reader import RunFolder

Part = TypeVar("Part")


def _kinds() -> tuple[str, list[tuple[str, str]]]:
    """Return a line of the help for each kind of figure."""
    return "Kinds of figures", [(kind.name, kind.summary) for kind in kinds.KINDS.values()]


def _in_words(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


@click.command("plot", cls=Command, short_help="Draw figures of a run.", lists=_kinds,
               examples=("lrpdyn plot", "lrpdyn plot gamma-run --kind filmstrip --sample 0-3 --format pdf"),
               about=options.ABOUT_RUN, shown=("kind", "sample", "steps", "form", "out"))  # fmt: skip
@click.argument("runs", nargs=-1, metavar="[RUN]...", type=click.Path())
@option("--kind", metavar="KIND,KIND", shell_complete=words_of(*kinds.KINDS),
              show_default=f"{','.join(kinds.default_kinds())}; of several runs "
              f"{','.join(kinds.default_kinds(several_runs=True))}",
              help="Draw these kinds.")  # fmt: skip
@option("--sample", metavar="N,N-N", show_default="the first, or as many as fit",
              help="Draw these samples, such as 0,3 or 0-5.")  # fmt: skip
@option("--steps", metavar="STEP,STEP", help=f"Draw these steps in {_in_words(kinds.users_of('steps'))}, "
              "such as 0,100k,1.1M.")  # fmt: skip
@option("--format", "form", metavar="NAME,NAME", shell_complete=words_of(*FORMATS),
              show_default=f"{PICTURES[0]}; {FILMS[0]} of an animation",
              help=f"Write {', '.join(PICTURES)}; {', '.join(FILMS)}.")  # fmt: skip
@option("--dpi", type=Whole(5, 1200), metavar="N", show_default="150, or 300 with --width",
              help="The number of pixels to an inch.")  # fmt: skip
@option("--width", metavar="WIDTH", show_default="wide enough for a screen",
              help="The width in print, as 3.25in or 8cm.")  # fmt: skip
@option("--font-size", type=Number(4, 40), default=FONT_SIZE, show_default=True, metavar="POINTS",
              help="The size of the text in print.")  # fmt: skip
@option("--header", type=Word(HEADERS), default="short", show_default=True,
              help="What stands above a figure: its full caption, a title and at most one line, or "
              "none.")  # fmt: skip
@option("--title", metavar="TITLE", show_default="the figure's own", help="The title above.")
@option("--scale-by", type=Word(SCALES), show_default="all of dynamics, else sample",
              help="What has its own colour scale: a step, a sample, or all that is drawn.")  # fmt: skip
@option("--by", metavar="rule|seed|head|PATTERN", default="rule", show_default=True,
              shell_complete=words_of("rule", "seed", "head"),
              help="Group several runs by this, as compare does.")  # fmt: skip
@option("--relative", is_flag=True, help="Add the relative dynamics to the figure dynamics.")
@option("--panels", metavar="NAME,NAME", shell_complete=words_of(*PANELS), show_default="all of the run",
              help=f"Draw these panels of a trajectory: {', '.join(PANELS)}.")  # fmt: skip
@option("--cmap", metavar="NAME,NAME", show_default="inferno,RdBu_r",
              help="Colour maps of Matplotlib: a sequential and a diverging one.")  # fmt: skip
@option("-o", "--out", type=click.Path(path_type=Path), metavar="PATH",
              show_default="figures/ in RUN",
        help="The folder that is written, or the one file.")  # fmt: skip
@options.curve
@options.verbosity
def command(
    runs: tuple[str, ...],
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
    by: str,
    relative: bool,
    panels: str | None,
    cmap: str | None,
    out: Path | None,
    curve: str | None,
    quiet: bool,
) -> int:
    """Draw figures of a run, each with its caption in a file next to it, and print their paths.

    Figures of several RUNs take folders of them and patterns, too.
    """
    from lrpdyn.api import open_run
    from lrpdyn.comparison.found import find_runs
    from lrpdyn.comparison.readable import of_readable
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
        by=by,
        look=with_colours(look, [] if cmap is None else _parts("--cmap", cmap, str, "names")),
        out=out,
    )
    printed: set[str] = set()

    def draw(opened: Sequence[RunFolder]) -> None:
        kinds.check(opened, names, request)
        with bar("drawing", "figure", len(names), quiet=quiet) as advance:
            for name in names:
                part = kinds.part_of(request, name)
                drawn = [str(path) for path in kinds.draw(opened, name, part)]
                if kinds.KINDS[name].lines is not None:
                    drawn += kinds.lines(opened, name, part, _terminal())
                # All figures are drawn again where a run turns out to be damaged.
                advance([line for line in drawn if line not in printed])
                printed.update(drawn)

    given = runs or (options.DEFAULT_RUN,)
    if not any(kinds.KINDS[name].several_runs for name in names if name in kinds.KINDS):
        draw([open_run(run) for run in given])
        return 0
    _, skipped = of_readable(find_runs(given, "plot"), draw, "plot")
    return say_skipped(skipped.values())


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
        raise UsageError(f"{option}: expected {expected}, found {text or 'nothing'}")
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
