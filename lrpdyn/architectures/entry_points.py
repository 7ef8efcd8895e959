"""Architectures of other packages: the entry-point group ``lrpdyn.architectures``."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from torch import nn

from lrpdyn.architectures.model import Architecture, never
from lrpdyn.architectures.names import GROUP
from lrpdyn.errors import ArchitectureError
from lrpdyn.files.text import first_line


def load_entry_points(register: Callable[[Architecture], None]) -> None:
    """Give what other packages offer to `register`.

    The value of an entry point is an `Architecture`, or a callable without arguments that registers
    some. One that fails does not take lrpdyn with it: it is registered as broken.
    """
    for entry in entry_points(group=GROUP):
        try:
            found = entry.load()
            if isinstance(found, Architecture):
                register(found)
            else:
                found()
        except Exception as error:  # another package's code, which may raise anything
            register(_broken(entry, error))


def _broken(entry: EntryPoint, error: Exception) -> Architecture:
    reason = first_line(error)
    message = f"entry point {entry.name} = {entry.value} is broken: {reason}"

    def refuse(**arguments: Any) -> nn.Module:
        raise ArchitectureError(f"{message}; update or remove the package that it is from")

    return Architecture(
        name=f"{entry.name} (broken)", factory=refuse, recognise=never, source=message
    )
