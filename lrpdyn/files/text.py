"""Text for a terminal, made of what strangers and their files say."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import Any

from lrpdyn.files.reasons import plainly, reason_of

#: Lines for a person are not wider than this, however wide the terminal is.
_WIDEST = 120
#: Text is not broken into lines that are narrower than this.
_NARROWEST = 40


def printable(text: str) -> str:
    """Return `text` on one line, with control characters (of a file's name, say) made visible."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.splitlines()))


def printable_data(value: Any) -> Any:
    """Return plain data whose texts, keys included, are `printable`."""
    if isinstance(value, str):
        return value if value.isprintable() else printable(value)
    if isinstance(value, list):
        return [printable_data(entry) for entry in value]
    if isinstance(value, dict):
        return {printable_data(key): printable_data(entry) for key, entry in value.items()}
    return value


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, up to 160 characters, or the error's kind."""
    if isinstance(error, OSError | KeyError):
        return reason_of(error)[:160]
    return plainly((str(error).splitlines() or [""])[0])[:160] or type(error).__name__


def terminal_width() -> int:
    """Return how many characters fit into a line: of the terminal, 80 where there is none."""
    return min(shutil.get_terminal_size().columns, _WIDEST)


def wrapped(text: str, width: int, begin: str = "", indent: str = "") -> list[str]:
    """Return a paragraph in lines of at most `width` characters, words kept whole: a path can be copied.

    `begin` stands before the first line, `indent` before the others.
    """
    return textwrap.wrap(
        text, max(width, _NARROWEST), initial_indent=begin, subsequent_indent=indent,
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


def print_note(text: str) -> None:
    """Print a paragraph for a person on stderr, wrapped to the terminal."""
    lines = wrapped(printable(text), terminal_width(), indent="  ")
    print("\n".join(lines), file=sys.stderr, flush=True)
