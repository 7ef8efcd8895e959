"""Why something failed, and values, in words that a person reads: no quotes and numbers of Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def reason_of(error: BaseException) -> str:
    """Return what an error says on one line, without ``[Errno 2]``, the file's name and its quotes.

    >>> reason_of(FileNotFoundError(2, "No such file or directory", "obs.npy"))
    'no such file or directory'
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    if isinstance(error, KeyError) and error.args:
        return f"there is no {error.args[0]}"
    if isinstance(error, UnicodeDecodeError):
        return "is no text in UTF-8"
    return plainly(" ".join(str(error).split())) or type(error).__name__


def plainly(text: str) -> str:
    """Return a text of other libraries without ``[Errno 2]`` and ``PosixPath('...')``.

    >>> plainly("[Errno 2] No such file: PosixPath('a/b')")
    'No such file: a/b'
    """
    text = re.sub(r"\[Errno -?\d+\] ", "", text)
    return re.sub(r"\b(?:Pure)?(?:Posix|Windows)?Path\((['\"])(.*?)\1\)", r"\2", text)


def as_text(value: Any) -> str:
    """Return plain data as a person writes it.

    >>> as_text({"name": "mlp", "sizes": [64, 64], "layout": None})
    'name mlp, sizes 64 64, layout none'
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {as_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return " ".join(as_text(item) for item in value if item is not None) or "none"
    return "none" if value is None else str(value)
