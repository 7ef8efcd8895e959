"""lrpdyn regions."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command, option
from lrpdyn.cli.imports import loading
from lrpdyn.cli.terminal import say
from lrpdyn.files.nearby import similar_path
from lrpdyn.files.text import printable

if TYPE_CHECKING:
    from lrpdyn.observations.regions import Regions


@click.command(
    "regions", cls=Command, short_help="Find the objects in observations, and draw them.",
    examples=("lrpdyn regions obs.npy -o masks.npz",
              "lrpdyn regions obs.npy --name 1=walls --name 2=score --name 6=score"),
    about={"OBSERVATIONS": "Files .npy, .npz, .png or .jpg, or folders of them."},
    shown={"out", "name", "layout", "stack"},
)  # fmt: skip
@click.argument("observations", nargs=-1, required=True, type=click.Path())
@option("--out", "-o", default="masks.npz", show_default=True, metavar="FILE.npz",
        type=click.Path(path_type=Path),
        help="The masks, for compute --regions; their picture is regions.png next to them.")  # fmt: skip
@option("--name", "names", multiple=True, metavar="N=NAME",
        help="Call object N so; objects of one name become one region.")  # fmt: skip
@options.layout
@options.stack
@options.verbosity
def command(
    observations: tuple[str, ...], out: Path, names: tuple[str, ...], layout: str | None,
    stack: int | None, quiet: bool,
) -> None:  # fmt: skip
    """Find the objects in observations without masks: what differs from their still background.

    Writes a mask of each object for each observation, and draws some of them. Where nothing moves and
    nothing differs, that is said and nothing is written.
    """
    called = dict(map(_numbered, names))
    if out.suffix.lower() != ".npz":
        raise click.UsageError(f"--out {out}: expected a name that ends in .npz")
    missing = [path for path in observations if ":" not in path and not Path(path).exists()]
    if missing:
        raise click.UsageError(f"{missing[0]}: no such file or folder{similar_path(missing[0])}")
    with loading(quiet=quiet):
        from lrpdyn.figures.regions_picture import draw_regions
        from lrpdyn.observations.pictures_alone import pictures_of
        from lrpdyn.observations.regions import find_regions, renamed, write_masks

    values = pictures_of(observations, layout, stack)
    found, why = find_regions(values)
    if found is None:
        say(f"No objects in {len(values)} observations: {why}. Nothing is written.")
        return
    found = renamed(found, called)
    write_masks(out, found)
    picture = out.with_name("regions.png")
    draw_regions(values, found, picture)
    if not quiet:
        say_sizes(found, values.shape)
        say(printable(f"Look at {picture}, then: lrpdyn compute CHECKPOINTS "
                      f"{shlex.join(observations)} --regions {shlex.quote(str(out))}"))  # fmt: skip
    click.echo(str(out))


def say_sizes(regions: Regions, shape: tuple[int, ...]) -> None:
    """Say how large each region is where it is, and in how many observations of `shape` that is."""
    for name, area in zip(regions.names, regions.areas(shape), strict=True):
        there = int((area > 0).sum())
        say(
            printable(
                f"{name:<12} {area[area > 0].mean():7.2%} of the pixels, in {there} of {len(area)}"
            )
        )


def _numbered(text: str) -> tuple[int, str]:
    number, separator, name = text.partition("=")
    if not separator or not number.isdecimal() or not name.isidentifier():
        raise click.UsageError(f"--name {text}: expected N=NAME, such as 1=walls")
    return int(number), name
