"""Text for a terminal, made of what strangers and their files say."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return `text` on one line, with control characters (of a file's name, say) made visible."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.splitlines()))


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, up to 160 characters, or the error's kind."""
    return (str(error).splitlines() or [""])[0][:160] or type(error).__name__
