"""Text for a terminal, made of what strangers wrote."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return `text` on one line, with control characters (of a file's name, say) made visible."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.splitlines()))
