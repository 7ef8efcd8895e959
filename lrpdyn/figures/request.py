"""What is asked of a figure, which files that makes, and what a kind of figure is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas.style import Look
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.training_curve import Curve

PICTURES = ("png", "svg", "pdf")
FILMS = ("gif", "webp", "apng")
FORMATS = (*PICTURES, *FILMS)
#: Samples that the name of a file tells one by one.
MOST_NAMED = 8


@dataclass(frozen=True)
class Request:
    """What of a run is to be drawn, and how.

    Attributes
    ----------
    samples, steps
        The samples and steps that are asked for; None where a kind shall choose.
    curve
        A training curve.
    formats
        Of `FORMATS`; none for the first that a kind can write.
    look
        Colours, and pixels to the inch.
    out
        A folder, or the name of the one file; None for the run's folder of figures.
    """

    samples: Sequence[int] | None = None
    steps: Sequence[int] | None = None
    curve: Curve | None = None
    formats: Sequence[str] = ()
    look: Look = field(default_factory=Look)
    out: Path | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Attributes
    ----------
    name
        What it is called.
    draw
        Draws one figure of the runs to a path, for the samples of one file.
    uses
        The parts of a request that change it: samples, steps, curve.
    each
        Whether every sample has a file of its own; the first sample where none is asked for.
    formats
        What it can be written as, the first by default.
    """

    name: str
    draw: Callable[[Sequence[RunFolder], Request, Path], None]
    uses: frozenset[str] = frozenset()
    each: bool = False
    formats: Sequence[str] = PICTURES


def formats_of(kind: Kind, request: Request) -> list[str]:
    """Return the formats that a kind is to be written in.

    Raises
    ------
    UsageError
        It can be written in none of those that are asked for.
    """
    known = kind.formats
    if not request.formats:
        return list(known[:1])
    found = [name for name in request.formats if name in known]
    if not found:
        raise UsageError(
            f"--format {','.join(request.formats)}: {kind.name} can be written as {', '.join(known)}"
        )
    return found


def is_file(out: Path) -> bool:
    return out.suffix[1:].lower() in FORMATS and not out.is_dir()


def is_other_file(out: Path) -> bool:
    """Tell whether a name is that of a file of another format, as picture.jpg."""
    suffix = out.suffix[1:].lower()
    return suffix.isalpha() and len(suffix) in (3, 4) and suffix not in FORMATS and not out.is_dir()


def files_of(
    run: RunFolder, kind: Kind, request: Request
) -> Iterator[tuple[Path, Sequence[int] | None]]:
    """Yield the path of each file, and the samples that it is of."""
    samples = request.samples
    if kind.each:
        groups: list[Sequence[int] | None] = [[sample] for sample in (samples or [0])]
        names = [f"{kind.name}_sample{sample}" for sample in (samples or [0])]
    else:
        groups = [samples]
        names = [kind.name if samples is None else f"{kind.name}_{_named(samples)}"]
    if request.out is not None and is_file(request.out):
        suffix = request.out.suffix[1:].lower()
        formats = formats_of(kind, Request(formats=request.formats or (suffix,)))
        if formats != [suffix]:
            raise UsageError(
                f"-o {request.out}: ends in .{suffix}, but --format is {','.join(formats)}; "
                "leave one of them out"
            )
        yield from ((request.out, group) for group in groups)
        return
    folder = run.path / "figures" if request.out is None else request.out
    for name, group in zip(names, groups, strict=True):
        for suffix in formats_of(kind, request):
            yield folder / f"{name}.{suffix}", group


def _named(samples: Sequence[int]) -> str:
    """Return what sets a file of some samples apart; of many, it would be too long a name."""
    if len(samples) <= MOST_NAMED:
        return f"sample{'-'.join(map(str, samples))}"
    return f"samples{min(samples)}to{max(samples)}"
