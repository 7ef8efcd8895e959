"""The run folder: its layout, manifest, journal, tables and reader; no torch."""

from __future__ import annotations

import importlib
from typing import Any

#: Names that were documented here before version 0.2, and where they live now.
_MOVED = {"Relevance": "lrpdyn.run.reader", "Run": "lrpdyn.api", "open_run": "lrpdyn.api"}


def __getattr__(name: str) -> Any:
    if name not in _MOVED:
        raise AttributeError(f"module 'lrpdyn.run' has no attribute '{name}'")
    return getattr(importlib.import_module(_MOVED[name]), name)


#: The run folder where none is named.
DEFAULT_RUN = "lrpdyn-run"
