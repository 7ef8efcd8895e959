"""TOML files of the user."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from lrpdyn.files.plain import open_plain

_LARGEST = 1 << 20


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is no TOML, is nested too deeply, or is larger than options can be.
    """
    with open_plain(path) as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"has more than {_LARGEST:,} bytes")
    try:
        return tomllib.loads(content.decode())
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
