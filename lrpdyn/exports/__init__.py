"""A run in the formats of other programs, written step by step, and what other programs take of it.

`quantus` needs the network: it is imported when it is used, and this room loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrpdyn.pipeline.quantus_input import quantus

__all__ = ["quantus"]


def __getattr__(name: str) -> Any:
    if name != "quantus":
        raise AttributeError(f"module 'lrpdyn.exports' has no attribute '{name}'")
    return importlib.import_module("lrpdyn.pipeline.quantus_input").quantus
