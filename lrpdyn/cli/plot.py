"""lrpdyn plot."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from lrpdyn.cli import options
from lrpdyn.errors import UsageError

Part = TypeVar("Part")
_DEFAULT = "dynamics,filmstrip,distribution,trajectory"


@click.command("plot", short_help="Draw the figures of a run.")
@click.argument("runs", nargs=-1, metavar="[RUN]...", type=click.Path(path_type=Path))
@click.option("--kind", help=f"Which figures, with commas between. Default: {_DEFAULT}; of several runs, "
              "comparison.")  # fmt: skip
@click.option("--sample", metavar="N,N-N", help="Samples, as 0,3 or 0-5. Default: the first 16 of a "
              "heatmap, the first of a filmstrip, all of a trajectory.")  # fmt: skip
@click.option("--steps", metavar="STEP,STEP", help="Steps of filmstrip, channels and animation, as "
              "0,100k,1.1M.")  # fmt: skip
@click.option("--format", "form", metavar="NAME,NAME", help="png, svg, pdf; gif, webp, apng of an "
              "animation. Default: png, gif.")  # fmt: skip
@click.option("--dpi", type=click.IntRange(5, 1200), default=150, show_default=True,
              help="Pixels to the inch.")  # fmt: skip
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
    dpi: int,
    cmap: str | None,
    out: Path | None,
    curve: str | None,
    quiet: bool,
) -> None:
    """Draw figures of RUN into its folder figures/, and print their paths.

    \b
    dynamics      observation, dynamics, relative dynamics, net change, overlay
    filmstrip     relevance and its differences, at log-spaced and flagged steps
    distribution  the differences, their fences, the outliers and their causes
    trajectory    curves over training: score, change, entropy, regions, checks
    raster        the change of every sample in every transition
    channels      the channels of an observation apart, as frames of a stack
    comparison    several RUNs side by side
    animation     relevance over training as a film
    terminal      a small heatmap and sparklines, printed
    """
    from lrpdyn.api import open_run
    from lrpdyn.figures import kinds, terminal
    from lrpdyn.figures.canvas import style, words
    from lrpdyn.figures.request import FORMATS, Request
    from lrpdyn.run.training_curve import read_curve

    several = "comparison" if len(runs) > 1 else _DEFAULT
    names = _parts("--kind", several if kind is None else kind, str, "a kind of figure")
    request = Request(
        None if sample is None else _samples(sample),
        None
        if steps is None
        else _parts("--steps", steps, words.parse_step, "steps, as 0,100k,1.1M"),
        None if curve is None else read_curve(curve),
        [] if form is None else _parts("--format", form, _format, ", ".join(FORMATS)),
        style.with_colours(
            style.Look(dpi), [] if cmap is None else _parts("--cmap", cmap, str, "names")
        ),
        out,
    )
    opened = [open_run(run) for run in runs or (options.DEFAULT_RUN,)]
    kinds.check(opened, names, request)
    for name in names:
        if name != kinds.TERMINAL:
            for path in kinds.draw(opened, name, kinds.part_of(request, name)):
                click.echo(str(path))
            continue
        shown = terminal.terminal_of(
            shutil.get_terminal_size().columns,
            is_terminal=sys.stdout.isatty(),
            encoding=sys.stdout.encoding,
            environment=os.environ,
        )
        click.echo("\n".join(kinds.terminal_lines(opened[0], kinds.part_of(request, name), shown)))


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
    from lrpdyn.figures.request import FORMATS

    if text.lower() not in FORMATS:
        raise ValueError(text)
    return text.lower()
