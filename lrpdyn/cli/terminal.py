"""What is printed for a person: bold and in colour on a terminal, plain everywhere else."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import click

from lrpdyn.files.text import printable, terminal_width, wrapped
from lrpdyn.system.progress import progress_bar

#: Words at the beginning of a line that are seen first, and how.
_STYLES = (
    (r"(Can you trust the maps\?|What changed\?)$", {"bold": True}),
    (r"  (ok)  ", {"fg": "green"}),
    (r"  (CARE)  ", {"fg": "yellow", "bold": True}),
    (r"  (note)  ", {"fg": "cyan"}),
    (r"\s*(LOOK FIRST)\b", {"fg": "red", "bold": True}),
    (r"(THEN|START|NOT SEEN|Next)\s", {"bold": True}),
    (r"(Error):", {"fg": "red", "bold": True}),
    (r"(Warning):", {"fg": "yellow", "bold": True}),
)


def say(text: str, *, err: bool = True) -> None:
    """Print lines on stderr, or on stdout; with colour on a terminal that does not say NO_COLOR."""
    plain = False if os.environ.get("NO_COLOR") else None
    click.echo("\n".join(map(_styled, text.split("\n"))), err=err, color=plain)


@contextmanager
def bar(
    what: str, unit: str, total: int, *, quiet: bool
) -> Iterator[Callable[[Sequence[str]], None]]:
    """Show progress on stderr, on a terminal only; yield what prints lines on stdout, and advances."""
    with progress_bar(quiet=quiet, total=total, desc=what, unit=unit) as shown:

        def advance(lines: Sequence[str] = ()) -> None:
            with shown.external_write_mode():
                for line in lines:
                    click.echo(line)
            shown.update()

        yield advance


def paragraph(text: str) -> None:
    """Print a paragraph on stderr, wrapped to the terminal; what strangers' files say is made printable."""
    for line in wrapped(printable(text), terminal_width(), indent="  "):
        say(line)


def say_error(message: str) -> None:
    """Print an error on stderr: wrapped on a terminal, one line where a program reads it."""
    _say_line(f"Error: {message}")


def say_skipped(reasons: Iterable[str]) -> int:
    """Print on stderr, in a line each, why runs were skipped; return the exit code that says so."""
    skipped = [f"Skipped: {reason}" for reason in reasons]
    for line in skipped:
        _say_line(line)
    return 3 if skipped else 0


def _say_line(text: str) -> None:
    line = printable(text)
    if sys.stderr.isatty():
        line = "\n".join(wrapped(line, terminal_width(), indent="  "))
    say(line)


def print_row(line: str, indent: int = 4) -> None:
    """Print a row of data on stdout: wrapped on a terminal, as it is where a program reads it."""
    line = printable(line)
    if sys.stdout.isatty():
        line = "\n".join(wrapped(line, terminal_width(), indent=" " * indent))
    click.echo(line)


def _styled(line: str) -> str:
    for pattern, style in _STYLES:
        found = re.match(pattern, line)
        if found:
            begin, end = found.span(1)
            return f"{line[:begin]}{click.style(found[1], **style)}{line[end:]}"  # type: ignore[arg-type]
    return line
