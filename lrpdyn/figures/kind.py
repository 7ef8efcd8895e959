"""What a kind of figure is. Loads no matplotlib: the command line makes its help from the kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lrpdyn.figures.request import Request
    from lrpdyn.figures.terminal import Terminal
    from lrpdyn.run.reader import RunFolder

PICTURES = ("png", "svg", "pdf")
FILMS = ("gif", "webp", "apng")
FORMATS = (*PICTURES, *FILMS)

#: Parts of a request that change some kinds and not others.
Part = Literal["samples", "steps", "curve", "panels", "relative", "scale_by", "by"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of figure: a file that it draws, or lines that it prints.

    `name` is as `--kind` takes it, and as the names of its files begin; `summary` is its line of
    help. `draw` makes one figure of the runs at a path, for the samples of one file; `lines` are
    what is printed, where the kind writes no file. `formats` are what it can be written as, the
    first by default, and `uses` the parts of a request that change it.

    `file_per_sample`: each sample has its own file, the first sample alone where none is requested.
    `by_sample`: it needs tables by sample. `several_runs`: it is of two or more runs.
    `by_default`: it is drawn where no kind is requested, of one run or of several.
    """

    name: str
    summary: str
    draw: Callable[[Sequence[RunFolder], Request, Path], None] | None = None
    lines: Callable[[RunFolder, Request, Terminal], list[str]] | None = None
    formats: Sequence[str] = PICTURES
    uses: Sequence[Part] = ()
    file_per_sample: bool = False
    by_sample: bool = False
    several_runs: bool = False
    by_default: bool = False
