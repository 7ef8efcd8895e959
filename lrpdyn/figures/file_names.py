"""The names of the files that kinds of figures are drawn to, of their formats and of their captions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lrpdyn.errors import UsageError
from lrpdyn.figures.kind import FORMATS, Kind
from lrpdyn.figures.request import Request

#: More samples than this are not numbered one by one in the name of a file.
MOST_NAMED = 8


def formats_of(kind: Kind, requested: Sequence[str]) -> list[str]:
    """Return the formats that a kind is to be written in: of the requested, those that it can be.

    Raises
    ------
    UsageError
        It can be written in none of them.
    """
    if not requested:
        return list(kind.formats[:1])
    found = [name for name in requested if name in kind.formats]
    if not found:
        raise UsageError(
            f"--format {','.join(requested)}: {kind.name} can be written as {', '.join(kind.formats)}"
        )
    return found


def is_file(out: Path) -> bool:
    """Return whether a name is that of a figure, not of a folder."""
    return out.suffix[1:].lower() in FORMATS and not out.is_dir()


def is_other_file(out: Path) -> bool:
    """Return whether a name is that of a file of another format, as picture.jpg."""
    suffix = out.suffix[1:].lower()
    return suffix.isalpha() and len(suffix) in (3, 4) and suffix not in FORMATS and not out.is_dir()


def files_of(
    run: Path, kind: Kind, request: Request
) -> Iterator[tuple[Path, Sequence[int] | None]]:
    """Yield the path of each file, and the samples that it is of."""
    samples = request.samples
    if kind.file_per_sample:
        groups: list[Sequence[int] | None] = [[sample] for sample in (samples or [0])]
    else:
        groups = [samples]
    if request.out is not None and is_file(request.out):
        suffix = request.out.suffix[1:].lower()
        formats = formats_of(kind, request.formats or (suffix,))
        if formats != [suffix]:
            raise UsageError(
                f"-o {request.out}: ends in .{suffix}, but --format is {','.join(formats)}; "
                "leave one of them out"
            )
        yield from ((request.out, group) for group in groups)
        return
    folder = run / "figures" if request.out is None else request.out
    for group in groups:
        for suffix in formats_of(kind, request.formats):
            yield folder / f"{kind.name}{_ending(group)}.{suffix}", group


def _ending(samples: Sequence[int] | None) -> str:
    """Return what tells files of different samples apart; of many, it would be too long a name."""
    if samples is None:
        return ""
    if len(samples) <= MOST_NAMED:
        return f"_sample{'-'.join(map(str, samples))}"
    return f"_samples{min(samples)}to{max(samples)}"


def name_pattern(kinds: Iterable[Kind]) -> re.Pattern[str]:
    """Return a pattern of the names that `files_of` gives to files of some kinds, and of no others.

    Their captions are among them.

    Examples
    --------
    >>> raster = Kind(name="raster", summary="changes")
    >>> bool(name_pattern([raster]).fullmatch("raster_sample0-3.svg"))
    True
    >>> bool(name_pattern([raster]).fullmatch("raster_of_mine.svg"))
    False
    """
    names = (f"{re.escape(k.name)}@({'|'.join((*k.formats, 'txt'))})" for k in kinds if k.formats)
    ending = r"(_sample\d+(-\d+)*|_samples\d+to\d+)?\."
    return re.compile("|".join(names).replace("@", ending))
