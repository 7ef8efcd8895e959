"""A network of the user's own: ``MODULE:CALLABLE`` or ``FILE.py:CALLABLE``."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from lrpdyn.architectures.model import Architecture, never
from lrpdyn.errors import UsageError
from lrpdyn.files.plain import check_plain
from lrpdyn.files.reasons import reason_of


def own_architecture(name: str) -> Architecture:
    """Return the architecture whose factory is what `name` says.

    Raises
    ------
    UsageError
        The module cannot be imported, or has nothing to call of that name.
    """
    place, _, attribute = name.rpartition(":")
    factory = getattr(_module(place), attribute, None)
    if not callable(factory):
        raise UsageError(f"--arch {name}: {place} has nothing to call named '{attribute}'")
    return Architecture(name=name, factory=factory, recognise=never, source=place)


def _module(place: str) -> Any:
    try:
        if not place.endswith(".py"):
            if os.getcwd() not in sys.path:
                sys.path.insert(0, os.getcwd())
            return importlib.import_module(place)
        check_plain(Path(place))
        specification = importlib.util.spec_from_file_location(Path(place).stem, place)
        if specification is None or specification.loader is None:
            raise ImportError("not a Python file")
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module
    except (ImportError, OSError, SyntaxError) as error:
        raise UsageError(f"--arch: {place} cannot be imported: {reason_of(error)}") from error
